"""Wavelet bands held against PyRadiomics', bit for bit."""

import numpy as np
import pytest
import SimpleITK

from workers.measurement.radiomics.domain import Domain, Frame
from workers.measurement.radiomics.parameters import Settings
from workers.measurement.radiomics.wavelet import bands

imageoperations = pytest.importorskip("radiomics.imageoperations")


@pytest.mark.parametrize("kind", ["int16", "float32", "float64"])
@pytest.mark.parametrize("seed", range(12))
def test_a_band_is_that_of_the_whole_image(seed: int, kind: str) -> None:
    """For any size and any box in it, at its edges too, of noise and of one value; in planes with force2D."""
    noise = np.random.default_rng(seed)
    shape = tuple(int(size) for size in noise.integers(1, 15, 3))
    values = noise.normal(0, 300, shape).astype(kind)
    if seed % 4 == 0:
        values[:] = values.flat[0]
    low = [int(noise.integers(0, size)) for size in shape]
    box = tuple(slice(a, int(noise.integers(a + 1, size + 1))) for a, size in zip(low, shape, strict=True))
    settings = Settings(force2d=seed % 3 == 0, force2d_dimension=seed // 3 % 3)
    image = SimpleITK.GetImageFromArray(values)
    theirs = imageoperations.getWaveletImage(
        image, None, force2D=settings.force2d, force2Ddimension=settings.force2d_dimension
    )
    wanted = {name: SimpleITK.GetArrayFromImage(band)[box] for band, name, _ in theirs}
    found = dict(bands(Domain(values, Frame.of(image)), (box[0], box[1], box[2]), settings))
    assert list(found) == list(wanted)
    for name, band in found.items():
        assert band.dtype == wanted[name].dtype
        np.testing.assert_array_equal(band, wanted[name], err_msg=name)
