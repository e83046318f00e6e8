"""PNG files of pages, read by Pillow."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from workers.report.png import encoded


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (33, 20)])
def test_a_png_has_the_very_pixels(size: tuple[int, int]) -> None:
    """Whatever they are, and in whatever shape: their differences from row to row wrap around."""
    pixels = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    with Image.open(BytesIO(encoded(pixels))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(image), pixels)
