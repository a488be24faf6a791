"""The image encoder in the shape of SAM 2.1 tiny; its video memory takes a minute more."""

import pytest
import segmenter_shapes


@pytest.mark.slow
def test_features_are_those_of_transformers() -> None:
    assert segmenter_shapes.compare("sam2.1-tiny", frames=0)["image encoder"] < 1e-5
