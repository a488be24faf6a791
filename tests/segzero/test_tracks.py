"""Ids: given once, kept by the object."""

import pytest

from segzero.tracks import TrackIds


def test_objects_get_the_lowest_free_ids_and_new_track_ids() -> None:
    ids = TrackIds()
    first = ids.assign("a", ["mug", "ball"], [None, None], 255)
    assert [(t.id, t.track_id, t.goal, t.label) for t in first if t] == [
        (1, 1, "a", "mug"),
        (2, 2, "a", "ball"),
    ]
    ids.release([t for t in first[:1] if t])
    (again,) = ids.assign("b", ["cup"], [None], 255)
    assert again and (again.id, again.track_id) == (1, 3)


def test_a_known_object_keeps_both_ids_and_takes_the_new_label() -> None:
    ids = TrackIds()
    ids.assign("a", ["mug", "ball"], [None, None], 255)
    kept, new = ids.assign("a", ["the blue ball", "box"], [2, None], 255)
    assert kept and (kept.id, kept.track_id, kept.label) == (2, 2, "the blue ball")
    assert new and (new.id, new.track_id) == (3, 3)


@pytest.mark.parametrize("case", ["forgotten", "of another goal"])
def test_an_id_that_is_not_the_goals_any_more_is_not_kept(case: str) -> None:
    ids = TrackIds()
    (old,) = ids.assign("a", ["mug"], [None], 255)
    assert old
    ids.release([old])
    if case == "of another goal":
        ids.assign("b", ["ball"], [None], 255)
    (new,) = ids.assign("a", ["mug"], [1], 255)
    assert new and new.track_id != old.track_id


def test_without_a_free_id_there_is_no_track() -> None:
    ids = TrackIds()
    tracks = ids.assign("a", ["x"] * 4, [None] * 4, 3)
    assert [track.id if track else None for track in tracks] == [1, 2, 3, None]


def test_a_late_release_does_not_free_the_id_of_another_object() -> None:
    ids = TrackIds()
    (old,) = ids.assign("a", ["mug"], [None], 255)
    assert old
    ids.release([old])
    ids.assign("b", ["ball"], [None], 255)
    ids.release([old])
    (new,) = ids.assign("c", ["box"], [None], 255)
    assert new and new.id == 2
