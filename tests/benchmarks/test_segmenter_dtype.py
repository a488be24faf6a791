"""The benchmark of the segmenter's dtype: its regions, and that it tells both ways apart."""

import segmenter_dtype


def test_the_regions_lie_in_the_picture_and_are_as_many_as_asked_for() -> None:
    for find in (segmenter_dtype.objects, segmenter_dtype.boxes):
        found = find((320, 240), 7)
        regions = [item for _, items in found for item in items]
        assert len(regions) == 7
        for item in regions:
            assert 0 <= item.box.x1 < item.box.x2 <= 320
            assert 0 <= item.box.y1 < item.box.y2 <= 240
            assert all(item.box.x1 <= point.x <= item.box.x2 for point in item.points)


def test_the_demo_draws_better_with_its_mask_decoder_in_float32() -> None:
    found = segmenter_dtype.measure("demo", [(320, 240)], 12)
    assert found["empty masks"] == 0
    assert 0.99 < found["all"]["mean"] < found["image encoder"]["mean"] <= 1
