"""A folder with a CT series and a DICOM SEG of it, as image and mask of the radiomic features."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from made_seg import Drawn, View, write_seg
from made_series import LAYOUTS, candidate, spool, write_series

from node.core.errors import NotExtractable
from node.core.settings import MeasurementSettings
from workers import volume
from workers.extraction import sources
from workers.measurement.radiomics import resampling
from workers.measurement.radiomics.engine import extract
from workers.measurement.radiomics.parameters import parse
from workers.records import Volume

SHAPE = (12, 14, 17)
LIVER = 5  # TotalSegmentator's number
FEW = parse({"featureClass": {"firstorder": None, "shape": None, "glcm": ["Contrast"]}})


class Case:
    """A made series in a folder, and SEG of it."""

    def __init__(self, root: Path, layout: str = "axial", name: str = "ct") -> None:
        rng = np.random.default_rng(5)
        self.root, self.folder = root, root / name
        stored = rng.integers(0, 2000, SHAPE).astype(np.uint16)
        self.paths = write_series(self.folder, stored, layout=LAYOUTS[layout], series=f"1.2.3.{len(name)}")
        self.volume: Volume = volume.read(candidate(self.paths), spool(), MeasurementSettings())
        self.drawn = [np.random.default_rng(seed).random(SHAPE) > 0.6 for seed in (1, 2, 3)]

    def seg(self, *labels: str, view: View | None = None) -> Path:
        """Write a SEG with a segment for each label."""
        path = self.root / "seg.dcm"
        drawn = [Drawn(mask, label) for mask, label in zip(self.drawn, labels, strict=False)]
        instances = [Path(one.path) for one in self.volume.instances]
        write_seg(path, instances, self.volume.geometry, drawn, **({"view": view} if view else {}))
        return path


@pytest.mark.parametrize("layout", ["axial", "oblique"])
def test_a_series_and_its_seg_are_the_image_and_mask_of_other_readers(layout: str, tmp_path: Path) -> None:
    """Values [HU] and places of a series are those of SimpleITK's reader; a SEG whose frames are turned fits."""
    case = Case(tmp_path, layout)
    path = case.seg("liver", "Tumor_1", view=View(transposed=True, flipped=(True, False)))
    source = sources.image(case.folder)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(case.folder))
    theirs = SimpleITK.ReadImage(names)
    assert np.array_equal(*map(SimpleITK.GetArrayViewFromImage, (source.image, theirs)))
    for ask in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert np.allclose(getattr(source.image, ask)(), getattr(theirs, ask)(), rtol=0, atol=1e-5), ask
    for number, name in ((0, "liver"), (1, "Tumor_1"), (1, "2")):
        mask = sources.mask(path, name, source)
        assert np.array_equal(SimpleITK.GetArrayViewFromImage(mask), case.drawn[number]), name


def test_a_real_seg_has_the_features_of_its_labels_as_a_file(test_data: Path) -> None:
    """dcmqi's SEG of a real CT, beside SimpleITK's reading of the slices and the labels as they came, in NIfTI."""
    case = test_data / "abdomen3mm"
    source = sources.image(case / "ct")
    mask = sources.mask(case / "seg.dcm", "liver", source)
    reader = SimpleITK.ImageSeriesReader
    image = SimpleITK.Cast(SimpleITK.ReadImage(reader.GetGDCMSeriesFileNames(str(case / "ct"))), SimpleITK.sitkInt16)
    labels = resampling.onto(image, SimpleITK.ReadImage(str(case / "labels_total_v2.nii.gz")))
    assert extract(source.image, mask, FEW).values == pytest.approx(
        dict(extract(image, labels, FEW.of_label(LIVER)).values), rel=1e-9
    )


@pytest.mark.parametrize(
    ("labels", "asked", "said"),
    [
        (("liver", "spleen"), None, "which segment is not said: it holds 1 (liver), 2 (spleen)"),
        (("liver", "spleen"), "Liver", "no segment is 'Liver': it holds 1 (liver), 2 (spleen)"),
        (("liver", "spleen"), "3", "no segment is '3': it holds 1 (liver), 2 (spleen)"),
        (("tumor", "tumor"), "tumor", "not one: it holds 1 (tumor), 2 (tumor)"),
    ],
)
def test_a_segment_has_to_be_named_and_the_choice_is_told(
    labels: tuple[str, ...], asked: str | None, said: str, tmp_path: Path
) -> None:
    """Where several are there or none is meant; a SEG of one segment needs no name."""
    case = Case(tmp_path)
    source = sources.image(case.folder)
    with pytest.raises(NotExtractable) as refused:
        sources.mask(case.seg(*labels), asked, source)
    assert (refused.value.code, refused.value.detail) == ("mask-empty", said)
    assert SimpleITK.GetArrayViewFromImage(sources.mask(case.seg("liver"), None, source)).any()


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    """A SEG of another frame of reference, of an image that is no series, a segment of a mask of numbers."""
    case, other = Case(tmp_path), Case(tmp_path, "oblique", "other")
    path, source = case.seg("liver"), sources.image(case.folder)
    plain = tmp_path / "mask.nrrd"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(case.drawn[0].astype(np.uint8)), str(plain))
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(Path(case.paths[0]).read_bytes())
    for mask, segment, of, code in (
        (path, None, sources.image(other.folder), "mask-mismatch"),
        (path, None, sources.image(plain), "mask-mismatch"),
        (plain, "liver", source, "mask-empty"),
        (broken, None, source, "image-unreadable"),
    ):
        with pytest.raises(NotExtractable) as refused:
            sources.mask(mask, segment, of)
        assert refused.value.code == code, mask


def test_a_folder_is_one_series(tmp_path: Path) -> None:
    """Two series, or none, are refused; what is no DICOM beside it does not matter."""
    case, other = Case(tmp_path), Case(tmp_path, "oblique", "other")
    (case.folder / "notes.txt").write_text("no DICOM")
    assert sources.image(case.folder).geometry == case.volume.geometry
    (case.folder / "extra.dcm").write_bytes(Path(other.paths[0]).read_bytes())
    (tmp_path / "empty").mkdir()
    for folder, count in ((case.folder, 2), (tmp_path / "empty", 0)):
        with pytest.raises(NotExtractable, match=f"holds {count} CT series, not one"):
            sources.image(folder)
