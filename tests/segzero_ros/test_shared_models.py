"""Weights that several users share are loaded once, and freed with the last user."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from segzero.errors import CheckpointError
from segzero.pipeline import SegZero
from segzero_ros.shared_models import SharedModels

pytestmark = pytest.mark.slow

IMAGE = np.zeros((48, 64, 3), np.uint8)


class Loads:
    """`SegZero.load` that keeps weak references to what it loaded."""

    def __init__(self) -> None:
        self.loaded: list[weakref.ref[object]] = []

    def __call__(self, profile: str, device: str) -> SegZero:
        segzero = SegZero.load(profile, device)
        self.loaded.append(weakref.ref(segzero._models()[0]))
        return segzero


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def shared(loads: Loads) -> SharedModels:
    return SharedModels(loads)


@pytest.fixture
def profile(profiles: dict[str, Path]) -> str:
    return str(profiles["answer"])


def test_all_users_have_the_same_weights(shared: SharedModels, loads: Loads, profile: str) -> None:
    users = [shared.load(profile, "cpu") for _ in range(4)]
    assert len(loads.loaded) == 1
    assert len({id(part) for user in users for part in user._models()}) == 2


def test_who_closes_takes_nothing_from_the_others(shared: SharedModels, profile: str) -> None:
    first, second = shared.load(profile, "cpu"), shared.load(profile, "cpu")
    first.close()
    first.close()
    assert second.ask(IMAGE, "the red ball").objects
    with pytest.raises(RuntimeError, match="closed"):
        first.ask(IMAGE, "the red ball")


def test_the_weights_are_freed_with_the_last_user(
    shared: SharedModels, loads: Loads, profile: str
) -> None:
    users = [shared.load(profile, "cpu") for _ in range(3)]
    while users:
        assert loads.loaded[0]() is not None
        users.pop().close()
    gc.collect()
    assert loads.loaded[0]() is None
    assert shared.load(profile, "cpu").ask(IMAGE, "the red ball").objects


@pytest.mark.parametrize(("name", "device"), [("nothing", "cpu"), ("answer", "auto")])
def test_another_profile_or_device_has_weights_of_its_own(
    shared: SharedModels, loads: Loads, profiles: dict[str, Path], name: str, device: str
) -> None:
    shared.load(str(profiles["answer"]), "cpu")
    shared.load(str(profiles[name]), device)
    assert len(loads.loaded) == 2


def test_a_changed_profile_is_loaded_anew(
    shared: SharedModels, loads: Loads, profiles: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text(profiles["answer"].read_text())
    old = shared.load(str(path), "cpu")
    path.write_text(profiles["nothing"].read_text())
    new = shared.load(str(path), "cpu")
    assert [bool(user.ask(IMAGE, "the red ball").objects) for user in (old, new)] == [True, False]


@pytest.mark.parametrize("fault", ["load", "warm_up"])
def test_after_a_failed_load_the_next_one_works(
    profile: str, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def fail(*_: object) -> None:
        raise CheckpointError("no weights")

    shared = SharedModels(lambda *names: SegZero.load(*names))
    with monkeypatch.context() as patch:
        patch.setattr(SegZero, fault, fail)
        with pytest.raises(CheckpointError):
            shared.load(profile, "cpu")
    assert shared.load(profile, "cpu").ask(IMAGE, "the red ball").objects
