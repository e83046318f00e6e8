from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
import SimpleITK
from made_arrays import acquisition
from made_seg import ORGAN, WHOLE, Drawn, View, write_seg
from made_series import LAYOUTS, candidate, instance, request, spool, write_series
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code
from sr_reading import name, walk
from sr_reading import number as value_of

from node.core.codes import ILIOPSOAS, L1_CORE, LEFT, LIVER, MASS, RIGHT, STRUCTURES, Structure
from node.core.errors import NotAnalysable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal
from node.core.records import Candidate, Instance
from node.core.settings import MeasurementSettings
from workers import segmentation, volume
from workers.measurement import burden
from workers.records import AlgorithmType, LabelMap, Mask, Volume
from workers.segmentation.imported import match, segment

SHAPE = (12, 14, 17)
KIDNEY = Code("64033007", "SCT", "Kidney")
Write = Callable[..., Instance]


class Series:
    """A made series, read, with masks of its shape."""

    def __init__(self, folder: Path, layout: str = "axial") -> None:
        rng = np.random.default_rng(5)
        self.folder = folder
        paths = write_series(folder / "ct", rng.integers(0, 2000, SHAPE).astype(np.uint16), layout=LAYOUTS[layout])
        self.volume: Volume = volume.read(candidate(paths), spool(), MeasurementSettings())
        self.paths = [Path(one.path) for one in self.volume.instances]
        self.count = 0

    def mask(self, seed: int = 0) -> Mask:
        """Return a ragged mask that touches every side of the volume and has no empty slice."""
        mask = np.random.default_rng(seed).random(SHAPE) > 0.6
        mask[:, 0, 0] = True
        return mask

    def write(self, *drawn: Drawn, **options: Any) -> Instance:
        """Write a SEG of this series."""
        self.count += 1
        return write_seg(self.folder / f"seg{self.count}.dcm", self.paths, self.volume.geometry, drawn, **options)

    def imported(self, *segmentations: Instance, **options: Any) -> LabelMap | None:
        """Import segmentations."""
        return segment(self.volume, request(self.paths, segmentations=segmentations, **options), spool())


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return Series(tmp_path_factory.mktemp("series"))


def item(type_: Code | None, side: Code | None = None, label: str = "", region: Code | None = None) -> Dataset:
    """Return an item of a Segment Sequence with just what is matched."""
    ds = Dataset()
    ds.SegmentLabel = label
    if type_ is not None:
        ds.SegmentedPropertyTypeCodeSequence = [hd.sr.CodedConcept.from_code(type_)]
        if side is not None:
            modifier = [hd.sr.CodedConcept.from_code(side)]
            ds.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = modifier
    if region is not None:
        ds.AnatomicRegionSequence = [hd.sr.CodedConcept.from_code(region)]
    return ds


@pytest.mark.parametrize("structure", [one for one in Structure if one is not Structure.L1_CORE])
def test_every_structure_is_known_by_its_own_code(structure: Structure) -> None:
    """What we write is matched by code and side, whatever its label says; the L1 core is never an input."""
    coding = STRUCTURES[structure]
    assert match(item(coding.type, coding.laterality, "Spleen"), {}) is structure
    assert match(item(L1_CORE, None, "core"), {}) is None


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (item(Code("T-62000", "SRT", "Liver")), Structure.LIVER),
        (item(Code("T-62000", "99SDM", "Liver")), None),
        (item(Code("T-11910", "SRT", "L1 vertebra")), Structure.VERTEBRA_L1),
        (item(ILIOPSOAS, Code("G-A101", "SRT", "Left")), Structure.ILIOPSOAS_LEFT),
        (item(ILIOPSOAS, Code("G-A100", "SRT", "Right")), Structure.ILIOPSOAS_RIGHT),
        (item(ILIOPSOAS, None, "muscle"), None),
        (item(ILIOPSOAS, None, "iliopsoas_left"), Structure.ILIOPSOAS_LEFT),
        (item(Code("M-80003", "SRT", "Neoplasm, Primary")), Structure.LESION),
        (item(MASS), Structure.LESION),
        (item(MASS, region=LIVER), Structure.LESION),
        (item(MASS, region=Code("T-62000", "SRT", "Liver")), Structure.LESION),
        (item(MASS, region=KIDNEY), None),
        (item(MASS, label="Tumor 1", region=KIDNEY), None),
        (item(ORGAN, label="Liver"), Structure.LIVER),
        (item(None, label="Tumor_12"), Structure.LESION),
        (item(None, label=" vertebrae L1 "), Structure.VERTEBRA_L1),
        (item(None, label="Iliopsoas-Right"), Structure.ILIOPSOAS_RIGHT),
        (item(None, label="vertebrae_L10"), None),
        (item(None, label=""), None),
        (item(KIDNEY, label="kidney"), None),
    ],
)
def test_codes_come_first_then_labels(described: Dataset, expected: Structure | None) -> None:
    """SRT counts as SCT, a side is needed where there are two, a lesion of another organ is none of the liver's."""
    assert match(described, {}) is expected


def test_the_sites_labels_stand_above_ours() -> None:
    """A site adds labels and may turn one of ours; a code still comes before them."""
    table = {"leber": Structure.LIVER, "tumor": Structure.VERTEBRAL_BODY}
    assert match(item(None, label="Leber"), table) is Structure.LIVER
    assert match(item(None, label="Tumor"), table) is Structure.VERTEBRAL_BODY
    assert match(item(MASS, label="Leber"), table) is Structure.LESION


VIEWS = {
    "whole": WHOLE,
    "rows flipped": View(flipped=(True, False)),
    "columns flipped": View(flipped=(False, True)),
    "transposed": View(transposed=True),
    "turned by a quarter": View(transposed=True, flipped=(True, False)),
    "a part": View(rows=slice(2, 11), columns=slice(5, 16)),
    "a part, transposed and flipped": View(slice(1, 9), slice(3, 17), transposed=True, flipped=(True, True)),
}


@pytest.mark.parametrize("layout", ["axial", "head first", "oblique"])
@pytest.mark.parametrize("name", VIEWS)
def test_frames_are_laid_where_they_belong(name: str, layout: str, tmp_path: Path) -> None:
    """However a SEG turns, flips or cuts its frames, each voxel lands on the voxel of the volume that it is."""
    series, view = Series(tmp_path, layout), VIEWS[name]
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, view.rows, view.columns] = series.mask()[:, view.rows, view.columns]
    labels = series.imported(series.write(Drawn(mask, type=LIVER), view=view))
    assert labels is not None
    region = labels.find(Structure.LIVER)
    assert region is not None
    assert np.array_equal(region.full(SHAPE), mask)


def frames(ds: Dataset) -> list[Dataset]:
    return list(ds.PerFrameFunctionalGroupsSequence)


def shift(x: float = 0, y: float = 0, z: float = 0) -> Callable[[Dataset], None]:
    def edit(ds: Dataset) -> None:
        for frame in frames(ds):
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            moved = [float(value) + by for value, by in zip(position, (x, y, z), strict=True)]
            frame.PlanePositionSequence[0].ImagePositionPatient = moved

    return edit


def other_spacing(ds: Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["0.8", "0.72"]


def other_frame_of_reference(ds: Dataset) -> None:
    ds.FrameOfReferenceUID = "1.2.3"


def leaning(ds: Dataset) -> None:
    orientation = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    "edit",
    [
        shift(x=0.35),
        shift(y=0.1),
        shift(z=1.5),
        shift(x=0.7),  # on the grid, but its last column is outside the matrix
        shift(y=-0.8),
        shift(z=36.0),
        other_spacing,
        other_frame_of_reference,
        leaning,
    ],
)
def test_a_seg_off_the_grid_is_not_used(edit: Callable[[Dataset], None], series: Series) -> None:
    """Half a pixel, another spacing, another frame of reference: nothing is resampled, the SEG is not used."""
    off = series.write(Drawn(series.mask(), type=LIVER), edit=edit)
    assert series.imported(off) is None
    with pytest.raises(NotAnalysable) as caught:
        segmentation.segment(series.volume, request(series.paths, segmentations=[off]), spool())
    assert caught.value.code is StudyRefusal.SEGMENTATION_UNAVAILABLE


def test_rounding_of_positions_is_no_shift(series: Series) -> None:
    """Positions that differ by a thirtieth of a pixel, as decimal strings do, are the same grid."""
    labels = series.imported(series.write(Drawn(series.mask(), type=LIVER), edit=shift(x=0.02, y=-0.02, z=0.1)))
    assert labels is not None
    found = labels.find(Structure.LIVER)
    assert found is not None
    assert np.array_equal(found.full(SHAPE), series.mask())


def test_no_segmentation_is_segmentation_unavailable(series: Series) -> None:
    """A study without a SEG is refused by that name."""
    with pytest.raises(NotAnalysable) as caught:
        segmentation.segment(series.volume, request(series.paths), spool())
    assert caught.value.code is StudyRefusal.SEGMENTATION_UNAVAILABLE


def test_a_seg_of_other_structures_is_not_used(series: Series) -> None:
    """A SEG that holds nothing of ours does not stand for a segmentation."""
    assert series.imported(series.write(Drawn(series.mask(), type=KIDNEY, label="kidney"))) is None


def test_fractional_counts_from_one_half(series: Series) -> None:
    """Of a FRACTIONAL SEG the voxels above half of the largest value are inside."""

    def halves(ds: Dataset) -> None:
        values = np.frombuffer(ds.PixelData, dtype=np.uint8)
        choice = np.where(np.arange(values.size) % 2 == 0, 128, 127)
        ds.PixelData = np.where(values > 0, choice, 0).astype(np.uint8).tobytes()

    mask = series.mask()
    written = series.write(Drawn(mask, type=LIVER), form=hd.seg.SegmentationTypeValues.FRACTIONAL, edit=halves)
    assert dcmread(written.path).MaximumFractionalValue == 255
    labels = series.imported(written)
    assert labels is not None
    even = np.arange(mask.size).reshape(SHAPE) % 2 == 0
    found = labels.find(Structure.LIVER)
    assert found is not None
    assert np.array_equal(found.full(SHAPE), mask & even)


def test_a_label_map_is_read_by_its_values(series: Series) -> None:
    """Of a LABELMAP SEG each value is a segment; what matches nothing is left out."""
    whole = series.mask()
    left, right = whole.copy(), whole.copy()
    left[:, :, 8:] = False
    right[:, :, :8] = False
    seg = series.write(
        Drawn(left, type=ILIOPSOAS, side=LEFT),
        Drawn(np.zeros(SHAPE, dtype=bool), type=KIDNEY),
        Drawn(right, type=ILIOPSOAS, side=RIGHT),
        form=hd.seg.SegmentationTypeValues.LABELMAP,
    )
    labels = series.imported(seg)
    assert labels is not None
    for structure, mask in ((Structure.ILIOPSOAS_LEFT, left), (Structure.ILIOPSOAS_RIGHT, right)):
        found = labels.find(structure)
        assert found is not None
        assert np.array_equal(found.full(SHAPE), mask)
    assert labels.searched == {Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT}


def test_what_was_drawn_keeps_its_author(series: Series) -> None:
    """Algorithm type, name, label and source of an imported segment are kept."""
    seg = series.write(
        Drawn(series.mask(), type=LIVER, label="Hepar", by=AlgorithmType.SEMIAUTOMATIC, name="brush 2"),
        Drawn(series.mask(1), type=MASS, label="M1", by=AlgorithmType.MANUAL),
    )
    labels = series.imported(seg)
    assert labels is not None
    assert [
        (one.structure, one.label, one.algorithm_type, one.algorithm_name, one.source) for one in labels.segments
    ] == [
        (Structure.LIVER, "Hepar", AlgorithmType.SEMIAUTOMATIC, "brush 2", seg),
        (Structure.LESION, "M1", AlgorithmType.MANUAL, "", seg),
    ]
    assert labels.engine == "imported"
    assert labels.series_instance_uid == series.volume.candidate.series_instance_uid


def test_precedence_is_manual_then_semiautomatic_then_automatic_then_the_newest(series: Series) -> None:
    """The order in which segmentations came changes nothing."""
    masks = {seed: series.mask(seed) for seed in range(5)}

    def liver(seed: int, by: AlgorithmType, at: tuple[str, str]) -> Instance:
        return series.write(Drawn(masks[seed], type=LIVER, by=by), written_at=at)

    early, late = ("20260101", "080000"), ("20260101", "080001")
    automatic = liver(0, AlgorithmType.AUTOMATIC, ("20261231", "235959"))
    old_half, new_half = liver(1, AlgorithmType.SEMIAUTOMATIC, early), liver(2, AlgorithmType.SEMIAUTOMATIC, late)
    manual = liver(3, AlgorithmType.MANUAL, ("20200101", "000000"))
    for offered, winner in (
        ((automatic, old_half, new_half, manual), 3),
        ((manual, new_half, old_half, automatic), 3),
        ((automatic, old_half, new_half), 2),
        ((new_half, old_half), 2),
        ((automatic, old_half), 1),
        ((automatic,), 0),
    ):
        labels = series.imported(*offered)
        assert labels is not None
        assert len(labels.segments) == 1
        assert np.array_equal(labels.segments[0].region.full(SHAPE), masks[winner])


def test_structures_may_come_from_different_segmentations(series: Series) -> None:
    """A SEG of the liver and one of the lesions complement each other."""
    one = series.write(Drawn(series.mask(), type=LIVER))
    other = series.write(Drawn(series.mask(1), type=MASS), written_at=("20260111", "120000"))
    labels = series.imported(one, other)
    assert labels is not None
    assert labels.searched == {Structure.LIVER, Structure.LESION}
    assert [segment.source for segment in labels.segments] == [one, other]


@pytest.mark.parametrize("times", [("120000", "120000"), ("120000", "120000.000000"), ("101500.5", "101500.500")])
def test_what_no_rule_decides_is_untrusted(times: tuple[str, str], series: Series) -> None:
    """Two livers of one kind and one moment stop the study, and so do two livers in one SEG."""
    two = [series.write(Drawn(series.mask(), type=LIVER), written_at=("20260110", time)) for time in times]
    twice = series.write(Drawn(series.mask(), type=LIVER), Drawn(series.mask(1), type=LIVER))
    for offered in (two, [twice]):
        with pytest.raises(Untrusted) as caught:
            series.imported(*offered)
        assert caught.value.code is StudyRefusal.INPUT_UNTRUSTED


def test_lesions_are_several_whoever_drew_each(series: Series) -> None:
    """All lesions of the SEG that counts are kept, those that a program drew beside those drawn by hand."""
    masks = [np.zeros(SHAPE, dtype=bool) for _ in range(3)]
    for number, mask in enumerate(masks):
        mask[2:5, 3 + 3 * number, 4:9] = True
    hands = (AlgorithmType.MANUAL, AlgorithmType.AUTOMATIC, AlgorithmType.MANUAL)
    mixed = series.write(*(Drawn(mask, type=MASS, by=by) for mask, by in zip(masks, hands, strict=True)))
    network = series.write(Drawn(series.mask(), type=MASS), written_at=("20270101", "000000"))
    labels = series.imported(network, mixed)
    assert labels is not None
    found = labels.all(Structure.LESION)
    assert [one.source for one in found] == [mixed] * 3
    for one, mask in zip(found, masks, strict=True):
        assert np.array_equal(one.region.full(SHAPE), mask)


def test_an_empty_segment_was_searched_for(series: Series) -> None:
    """A lesion segment without a voxel says that lesions were looked for: it is searched, and not found."""
    seg = series.write(Drawn(series.mask(), type=LIVER), Drawn(np.zeros(SHAPE, dtype=bool), type=MASS))
    labels = series.imported(seg)
    assert labels is not None
    assert Structure.LESION in labels.searched
    assert labels.find(Structure.LESION) is None


def test_a_single_frame_may_share_all_its_groups(series: Series) -> None:
    """Position and segment in the shared groups, as PS3.3 C.7.6.16 allows where all frames have one."""

    def share(ds: Dataset) -> None:
        own, shared = frames(ds)[0], ds.SharedFunctionalGroupsSequence[0]
        shared["PlanePositionSequence"] = own["PlanePositionSequence"]
        del own["PlanePositionSequence"]
        assert "SegmentIdentificationSequence" in shared  # where highdicom puts it

    mask = np.zeros(SHAPE, dtype=bool)
    mask[6, 3:7, 4:9] = True
    labels = series.imported(series.write(Drawn(mask, type=MASS), edit=share))
    assert labels is not None
    found = labels.find(Structure.LESION)
    assert found is not None
    assert np.array_equal(found.full(SHAPE), mask)


def without(keyword: str) -> Callable[[Dataset], None]:
    def edit(ds: Dataset) -> None:
        for place in (ds, ds.SharedFunctionalGroupsSequence[0], *frames(ds), *ds.SegmentSequence):
            if keyword in place:
                del place[keyword]

    return edit


def unknown_author(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentAlgorithmType = "GUESSED"


def short_pixels(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[:4]


@pytest.mark.parametrize(
    "edit",
    [
        unknown_author,
        short_pixels,
        *map(
            without,
            (
                "SegmentAlgorithmType",
                "SegmentSequence",
                "PerFrameFunctionalGroupsSequence",
                "PlanePositionSequence",
                "PlaneOrientationSequence",
                "PixelMeasuresSequence",
                "SegmentIdentificationSequence",
                "PixelData",
            ),
        ),
    ],
)
def test_a_seg_that_cannot_be_read_is_told(edit: Callable[[Dataset], None], series: Series) -> None:
    """A SEG without what every SEG has is `pixels-unreadable`; it never becomes a failure of the worker."""
    seg = series.write(Drawn(series.mask(), type=LIVER), edit=edit)
    with pytest.raises(NotAnalysable) as caught:
        series.imported(seg)
    assert caught.value.code is StudyRefusal.PIXELS_UNREADABLE


def test_a_seg_that_is_none_or_was_changed(series: Series) -> None:
    """A CT slice in its place is unreadable; one changed byte, or none left, is untrusted."""
    with pytest.raises(NotAnalysable):
        series.imported(instance(series.paths[0]))
    seg = series.write(Drawn(series.mask(), type=LIVER))
    path = Path(seg.path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Untrusted) as changed:
        series.imported(seg)
    assert changed.value.code is StudyRefusal.INPUT_UNTRUSTED
    path.unlink()
    with pytest.raises(Untrusted) as gone:
        series.imported(seg)
    assert gone.value.code is StudyRefusal.INPUT_INCOMPLETE


def read_folder(folder: Path, slices: int) -> Volume:
    paths = sorted(folder.iterdir())
    return volume.read(candidate(paths), spool(), MeasurementSettings(minimum_slices=slices))


def test_the_real_seg_of_dcmqi_holds_the_labels_it_was_made_from(test_data: Path) -> None:
    """Five structures of `abdomen3mm`: each voxel for voxel the label of the NIfTI that the SEG was written from."""
    folder = test_data / "abdomen3mm"
    read = read_folder(folder / "ct", 10)
    labels = segment(
        read, request(sorted((folder / "ct").iterdir()), segmentations=[instance(folder / "seg.dcm")]), spool()
    )
    assert labels is not None
    image = SimpleITK.ReadImage(str(folder / "labels_total_v2.nii.gz"))
    corner = image.TransformPhysicalPointToIndex(read.geometry.origin_mm)
    numbers = SimpleITK.GetArrayFromImage(image)
    flips = tuple(slice(None, None, 1 if at == 0 else -1) for at in reversed(corner))
    numbers = numbers[flips]
    expected = {
        Structure.LIVER: 5,
        Structure.ILIOPSOAS_LEFT: 88,
        Structure.ILIOPSOAS_RIGHT: 89,
        Structure.VERTEBRA_L1: 31,
        Structure.VERTEBRA_L3: 29,
    }
    assert labels.searched == set(expected)
    for one in labels.segments:
        assert np.array_equal(one.region.full(read.geometry.shape), numbers == expected[one.structure])
        assert one.algorithm_type is AlgorithmType.SEMIAUTOMATIC


def test_real_segs_of_others(test_data: Path) -> None:
    """dcmqi's SRT-coded liver lands on its three slices; overlapping tissues and a tonsil's tumour are none of ours."""
    folder = test_data / "sr-seg-samples"
    read = read_folder(folder / "ct-3slice", 3)
    asked = request(sorted((folder / "ct-3slice").iterdir()), segmentations=[instance(folder / "liver.dcm")])
    labels = segment(read, asked, spool())
    assert labels is not None
    seg = hd.seg.segread(folder / "liver.dcm")
    liver = labels.find(Structure.LIVER)
    assert liver is not None
    assert liver.slices == range(3)
    assert liver.count == int((seg.pixel_array > 0).sum())
    for index, ds in enumerate(frames(seg)):
        height = float(ds.PlanePositionSequence[0].ImagePositionPatient[2])
        ours = round((height - read.geometry.origin_mm[2]) / read.geometry.spacing_mm[0])
        assert np.array_equal(liver.full(read.geometry.shape)[ours], seg.pixel_array[index] > 0)
    for other in ("partial_overlaps.dcm", "seg.dcm"):
        assert segment(read, replace(asked, segmentations=(instance(folder / other),)), spool()) is None


def placed(seg: Dataset) -> Volume:
    """Return an empty volume on the grid that a SEG itself describes: what its reader has who has no images."""
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    places = [one.PlanePositionSequence[0].ImagePositionPatient for one in frames(seg)]
    x, y, z = (float(value) for value in min(places, key=lambda at: at[2]))
    dz, (dy, dx) = float(measures.SpacingBetweenSlices), map(float, measures.PixelSpacing)
    slices = round((max(float(at[2]) for at in places) - z) / dz) + 1
    shape = (slices, int(seg.Rows), int(seg.Columns))
    grid = Geometry(shape, (x, y, z), (0.0, 0.0, dz), (0.0, dy, 0.0), (dx, 0.0, 0.0), str(seg.FrameOfReferenceUID))
    return Volume(np.zeros(shape, dtype=np.int16), grid, Candidate("1.2.3", "", "", ()), (), acquisition())


def test_a_seg_alone_gives_the_volume_that_its_author_measured(test_data: Path, tmp_path: Path) -> None:
    """dcmqi's SR says 33.5824 mL of its SEG: a tumour of another organ, until that is taken from it."""
    folder = test_data / "sr-seg-samples"
    ds = dcmread(folder / "seg.dcm")
    read = placed(ds)
    del ds.SegmentSequence[0].AnatomicRegionSequence
    ds.save_as(tmp_path / "seg.dcm")
    labels = segment(read, request(segmentations=[instance(tmp_path / "seg.dcm")]), spool())
    assert labels is not None
    [told] = [value_of(item)[0] for item in walk(dcmread(folder / "sr.dcm")) if name(item) == "G-D705"]
    region = labels.find(Structure.LESION)
    assert region is not None
    assert round(region.count * read.geometry.voxel_volume_ml, 4) == told == 33.5824
    table, numbers = burden.measure(read, labels)
    assert table is not None
    assert sum(one.volume_ml for one in table.lesions) == pytest.approx(told, abs=5e-5)
    assert numbers["burden.count"].value == len(table.lesions)


def test_segments_of_a_real_seg_that_overlap_are_each_whole(test_data: Path) -> None:
    """dcmqi's five tissues share voxels: by a site's labels each is a lesion with all that was drawn of it."""
    path = test_data / "sr-seg-samples" / "partial_overlaps.dcm"
    ds = dcmread(path)
    read = placed(ds)
    colours = {str(item.SegmentLabel).lower(): Structure.LESION for item in ds.SegmentSequence}
    labels = segment(read, request(segmentations=[instance(path)], labels=colours), spool())
    assert labels is not None
    drawn: Counter[int] = Counter()
    for plane, own in zip(ds.pixel_array, frames(ds), strict=True):
        drawn[int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber)] += int(plane.sum())
    assert [one.region.count for one in labels.segments] == [drawn[number] for number in sorted(drawn)]
    whole = sum(one.region.full(read.geometry.shape).astype(int) for one in labels.segments)
    assert np.max(whole) > 1
    table, _ = burden.measure(read, labels)
    assert table is not None
    assert [one.label for one in table.lesions] == [str(item.SegmentLabel) for item in ds.SegmentSequence]
    assert any(one.touches for one in table.lesions)
