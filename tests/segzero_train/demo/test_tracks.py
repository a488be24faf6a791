"""What the video memory learns from: really rendered clips, and tracks through them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segzero_sim.scene import COLOURS, MAX_OBJECTS, SHAPES
from segzero_train.demo import clips as clips_module
from segzero_train.demo import tracks
from segzero_train.demo.clips import LENGTH, Clips, render_clips
from segzero_train.demo.tracks import Footage, sample_track

RED, BLUE = 0, 2
BALL, BOX, MUG = 0, 1, 4
CPU = torch.device("cpu")


def clips_of(*tables: list[tuple[int, int]]) -> Clips:
    """A clip for each table, a shard each: objects of 10x10 pixels stand still in a row."""
    ids = np.zeros((LENGTH, 64, 64), np.uint8)
    looks = np.full((len(tables), 1, MAX_OBJECTS, 2), -1, np.int8)
    pictures = []
    for table, objects in enumerate(tables):
        picture = ids.copy()
        for k, look in enumerate(objects):
            picture[:, 10:20, 15 * k : 15 * k + 10] = k + 1
            looks[table, 0, k] = look
        pictures.append(picture[None])
    rgb = tuple(np.zeros((1, LENGTH, 64, 64, 3), np.uint8) for _ in tables)
    return Clips(rgb=rgb, ids=tuple(pictures), looks=tuple(looks))


def footage_of(clips: Clips, areas: NDArray[np.int64]) -> Footage:
    """The features of a clip are its number, so that they tell where they are from."""
    encoded = [
        tuple(np.full((1, LENGTH, 1, 1, 1), number, np.float16) for _ in range(3))
        for number in range(len(clips.ids))
    ]
    crowds = np.zeros(areas.shape, bool)
    return Footage(clips, encoded, areas, crowds, clips.rivals())


TABLES = ([(RED, MUG)], [(RED, BALL), (BLUE, MUG)], [(BLUE, BOX)], [(RED, MUG), (RED, BALL)])
"""A red mug; two things that are like it; one that isn't; and another red mug."""


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Clips:
    monkeypatch.setattr(tracks, "BATCH", 40 * 6)
    monkeypatch.setattr(clips_module, "SIDE", 64)
    return clips_of(*TABLES)


def red_mugs(tables: Clips) -> Footage:
    """Only the first clip's object may be followed."""
    areas = tables.areas()
    areas[1:] = 0
    return footage_of(tables, areas)


def test_rivals_look_alike_and_are_not_the_same(tables: Clips) -> None:
    rivals = tables.rivals()
    assert len(rivals) == len(COLOURS) * len(SHAPES)
    assert rivals[RED, MUG].tolist() == [1]
    assert rivals[BLUE, BALL].tolist() == [1, 2, 3]


def test_a_cut_shows_a_table_of_rivals_where_the_object_is_not(
    tables: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracks, "_CUTS", 1.0)
    track = sample_track(red_mugs(tables), 6, np.random.default_rng(0), CPU)
    tables_seen = torch.stack([frame.image_embed for frame in track.frames]).flatten(1)
    present = track.masks.flatten(2).any(-1)
    assert set(tables_seen.unique().tolist()) == {0, 1}
    assert torch.equal(present, tables_seen == 0)
    assert present[0].all()
    assert (~present).any(0).all()
    returned = present[-1]
    assert returned.any()
    assert not returned.all()


def test_without_a_cut_an_object_stays_in_its_clip(
    tables: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracks, "_CUTS", 0.0)
    track = sample_track(red_mugs(tables), 6, np.random.default_rng(0), CPU)
    assert track.masks.shape == (6, 40, 64, 64)
    assert track.masks.flatten(2).any(-1).all()
    assert all((frame.high_res_0 == 0).all() for frame in track.frames)


def test_a_rendered_clip_shows_the_same_objects_in_every_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips_module, "SHARD", 3)
    clips = render_clips(tmp_path, 3, processes=1)
    areas = clips.areas()
    assert areas.shape == (3, LENGTH, MAX_OBJECTS)
    # What isn't in the clip at all is never there; what is, is so in most frames.
    shown = (areas > 0).mean(1)
    assert (shown[shown > 0] > 0.3).all()
    assert ((clips.looks[0] >= 0).all(-1) == (shown > 0)).all()
