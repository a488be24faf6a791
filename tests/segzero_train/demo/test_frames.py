from pathlib import Path

import numpy as np
import pytest

from segzero.reasoning.squash import squash
from segzero_sim.tabletop import TabletopRenderer, draw_usable
from segzero_train.demo import frames as frames_module
from segzero_train.demo.frames import FIRST_SEED, OBJECTS, SIDE, Frames, render_frames


def test_every_frame_shows_the_objects_that_it_names(frames: Frames) -> None:
    assert len(frames) == 24
    for index in range(len(frames)):
        rgb, ids = frames.picture(index)
        assert rgb.shape == (SIDE, SIDE, 3)
        assert {item.id for item in frames.seen(index)} == set(np.unique(ids)) - {0}


def test_a_picture_is_squashed_as_it_is_at_inference(frames: Frames) -> None:
    with TabletopRenderer(320, 240) as renderer:
        _, frame = draw_usable(renderer, FIRST_SEED, OBJECTS, depth=False)
    assert (frames.picture(0)[0] == squash(frame.rgb, SIDE)).all()


def test_shards_that_exist_are_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "SHARD", 3)
    first = render_frames(tmp_path, 3, processes=1)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    both = render_frames(tmp_path, 6, processes=1)
    assert len(both) == 6
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert np.array_equal(first.picture(1)[0], both.picture(1)[0])


def test_a_shard_that_was_not_finished_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "SHARD", 3)
    render_frames(tmp_path, 3, processes=1)
    (tmp_path / "seeds-0000.npy").unlink()
    (tmp_path / "rgb-0000.npy").write_bytes(b"half a fi")
    assert render_frames(tmp_path, 3, processes=1).picture(2)[0].any()
