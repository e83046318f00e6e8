"""Judges that nobody here wrote, put to every kind of object, and to a damaged copy to show that they can refuse."""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pixelmed
import pytest
import readers
from box_studies import REPORTS, rejected, superseding
from judging import COUNTS, ENTITIES, IOD, KNOWN, OTHERS, PAGE, Docket, errors, known, page, said, settle
from made_seg import drawn, write_seg
from pydicom import Dataset, dcmread
from readers import Object, places_by_dcmqi
from sr_reading import groups, name
from studies import Study, analyse, run

from node.core.codes import Structure
from node.core.spool import Spool
from node.phantom import covering_grid, standard_anatomy, write_phantom
from workers import segmentation
from workers.records import DEMONSTRATION, AlgorithmType, Mask

# The suite's synthetic studies beside the awkward ones, which tests/reference/test_awkward.py puts to the same judges.
SYNTHETIC = (
    "coarse_phantom",
    "planned_phantom",
    "corrected_phantom",
    "demonstration_phantom",
    "refused_phantom",
    "enhanced_phantom",
)
Program = Callable[[str], str]
Harm = Callable[[Dataset], None]


def damaged(path: Path, target: Path, harm: Harm) -> Path:
    """Write a copy with a fault."""
    ds = dcmread(path)
    harm(ds)
    ds.save_as(target)
    return target


@pytest.fixture(scope="session")
def planned_phantom(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A phantom before a liver resection, very coarse: its SR and its Summary tell a Rad score."""
    grid = covering_grid(standard_anatomy(), spacing_mm=(5.0, 4.0, 4.0))
    files = write_phantom(tmp_path_factory.mktemp("planned"), grid=grid, planned=True)
    study = analyse(files.ct[0].parent, files.seg, tmp_path_factory.mktemp("planned-home"))
    assert any(one["score"] is not None for one in study.document["rad_scores"])
    return study


@pytest.fixture(scope="session")
def corrected_phantom(coarse_phantom: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A second result of the phantom, which supersedes the first: by hand, half of liver and lesion was taken away."""
    folder, labels = tmp_path_factory.mktemp("corrected"), coarse_phantom.labels
    masks: dict[Structure, Mask | list[Mask]] = {}
    for structure in (Structure.LIVER, Structure.LESION):
        mask = next(one for one in labels.segments if one.structure is structure).region.full(labels.geometry.shape)
        slices = np.flatnonzero(mask.any(axis=(1, 2)))
        mask[slices[slices.size // 2] :] = False
        masks[structure] = mask
    order = [coarse_phantom.spool.file(one) for one in coarse_phantom.volume.instances]
    by_hand = drawn(masks, by=AlgorithmType.MANUAL)
    return superseding(coarse_phantom, folder, write_seg(folder / "seg.dcm", order, labels.geometry, by_hand))


@pytest.fixture(scope="session")
def demonstration_phantom(coarse_phantom: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The phantom's result as if the demonstration model had segmented it: each object says so."""
    spool = Spool(tmp_path_factory.mktemp("demonstration-home"))
    spool.prepare()
    honest = segmentation.segment
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            segmentation, "segment", lambda *given: replace(honest(*given), engine=f"{DEMONSTRATION}: of a test")
        )
        return run(replace(coarse_phantom.request, engine="demonstration"), spool)


@pytest.fixture(scope="session")
def note(coarse_phantom: Study, corrected_phantom: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rejection note that rejects the first result for the corrected one."""
    return rejected(coarse_phantom, corrected_phantom, tmp_path_factory.mktemp("note") / "note.dcm")


@pytest.fixture(scope="module")
def hear(request: pytest.FixtureRequest, docket: Docket) -> Callable[[str], Study]:
    """Return a function that puts a synthetic study to the judges, with the note where there is one, once."""

    def one(title: str) -> Study:
        study: Study = request.getfixturevalue(title)
        notes = [("rejection note", request.getfixturevalue("note"))] if title == "corrected_phantom" else []
        docket.hear(study, *notes)
        return study

    return one


@pytest.fixture(scope="module")
def docket(program: Program) -> Docket:
    """What was judged of the synthetic studies."""
    return Docket(program)


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest, program: Program) -> Docket:
    """What was judged of the real abdomen, which is not counted; nothing where there is no shared data."""
    found = Docket(program)
    with contextlib.suppress(pytest.skip.Exception):
        found.hear(request.getfixturevalue("abdomen"))
    return found


@pytest.fixture(scope="module")
def validated(
    hear: Callable[[str], Study],
    docket: Docket,
    real: Docket,
    lacking: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[Path, list[str]]:
    """What PixelMed's validator says of every SR, and of one that has lost a segment."""
    if missing := pixelmed.missing():
        lacking(f"{missing} (libpixelmed-java)")

    def lose_segment(ds: Dataset) -> None:
        group = groups(ds)[0]
        group.ContentSequence = [item for item in group.ContentSequence if name(item) != "121191"]

    sound, *_ = [hear(title) for title in SYNTHETIC]
    bad = damaged(sound.path("sr.dcm"), tmp_path_factory.mktemp("damaged") / "damaged.dcm", lose_segment)
    return pixelmed.judge([*docket.reports, *real.reports, bad])


@pytest.mark.parametrize("title", SYNTHETIC)
def test_dicom3tools_finds_no_error(title: str, hear: Callable[[str], Study]) -> None:
    """Every object obeys its IOD, and all of a result and the CT are of one patient, study and frame of reference."""
    assert hear(title).outcome.products


def test_dicom3tools_finds_no_error_in_a_real_study(abdomen: Study, real: Docket) -> None:
    """Nor in the objects of the real abdomen."""
    assert real.objects.total() >= len(abdomen.outcome.products)


def test_pixelmed_finds_no_error(validated: Mapping[Path, list[str]], docket: Docket, real: Docket) -> None:
    """IOD and TID 1500 with its groups, of every SR."""
    docket.weigh(validated)
    real.weigh(validated)
    assert {path.name for path in docket.reports} >= set(REPORTS)


def test_the_table_of_warnings_is_that_of_the_judges(
    validated: Mapping[Path, list[str]], docket: Docket, hear: Callable[[str], Study]
) -> None:
    """docs/validators.md tells what they said of how many objects."""
    for title in SYNTHETIC:
        hear(title)
    docket.weigh(validated)
    settle(OTHERS, docket)


def test_the_page_is_that_of_the_counts() -> None:
    """Its tables are generated; each remark that stays was made somewhere, and has a reason."""
    document, counts = PAGE.read_text("utf-8"), json.loads(COUNTS.read_text("utf-8"))
    assert document == page(document, counts)
    for one in KNOWN:
        assert one.why
        assert any(of["remarks"].get(one.line) for of in counts.values()), one.line


def test_an_unknown_remark_fails() -> None:
    """A new kind of warning, or any error, is never passed over; what is no remark is."""
    assert known(IOD, ["Segmentation", "Info - all is well"]) == set()
    for line in ("Warning - something new", "Error - Missing attribute"):
        with pytest.raises(AssertionError, match=line):
            known(IOD, [line])
    with pytest.raises(AssertionError):
        known(ENTITIES, ["Warning - Unrecognized defined term <99CRLM> for value 1 of attribute <Coding Scheme UID>"])


def without_rows(ds: Dataset) -> None:
    del ds.Rows


def without_completion(ds: Dataset) -> None:
    del ds.CompletionFlag


def without_instance(ds: Dataset) -> None:
    del ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("seg.dcm", without_rows),
        ("sr.dcm", without_completion),
        ("sr-viewer.dcm", without_completion),
        ("sr.dcm", without_instance),
    ],
)
def test_dciodvfy_can_refuse(file: str, harm: Harm, corrected_phantom: Study, program: Program, tmp_path: Path) -> None:
    """A missing type 1 attribute is an error to it, and a predecessor without its instance."""
    assert errors(said(program(IOD), str(damaged(corrected_phantom.path(file), tmp_path / file, harm))))


def test_dciodvfy_can_refuse_a_rejection_note(note: Path, program: Program, tmp_path: Path) -> None:
    """Without its evidence."""

    def lose_evidence(ds: Dataset) -> None:
        del ds.CurrentRequestedProcedureEvidenceSequence

    assert errors(said(program(IOD), str(damaged(note, tmp_path / "note.dcm", lose_evidence))))


def test_dcentvfy_can_refuse(coarse_phantom: Study, program: Program, tmp_path: Path) -> None:
    """An SR of another patient beside the CT is an error to it."""

    def rename(ds: Dataset) -> None:
        ds.PatientName = "Someone^Else"

    other = damaged(coarse_phantom.path("sr.dcm"), tmp_path / "sr.dcm", rename)
    slice_ = coarse_phantom.spool.file(coarse_phantom.volume.instances[0])
    assert errors(said(program(ENTITIES), str(other), str(slice_)))


def test_pixelmed_can_refuse(validated: Mapping[Path, list[str]]) -> None:
    """A group that has lost its segment is an error to it."""
    [bad] = [lines for path, lines in validated.items() if path.name == "damaged.dcm"]
    assert errors(bad)


def test_all_results_of_a_study_agree(
    coarse_phantom: Study,
    corrected_phantom: Study,
    demonstration_phantom: Study,
    refused_phantom: Study,
    note: Path,
    program: Program,
) -> None:
    """dcentvfy sees one patient and one study in the first result, the later ones, the note and the CT."""
    results = (coarse_phantom, corrected_phantom, demonstration_phantom, refused_phantom)
    files = [one.path(product.file) for one in results for product in one.outcome.products]
    files += [note, *(coarse_phantom.spool.file(one) for one in coarse_phantom.volume.instances)]
    known(ENTITIES, said(program(ENTITIES), *map(str, files)))


def test_a_corrected_result_names_the_first(coarse_phantom: Study, corrected_phantom: Study) -> None:
    """Each SR of it names both earlier ones as its predecessors."""
    for file in REPORTS:
        [listed] = corrected_phantom.dataset(file).PredecessorDocumentsSequence
        named = [one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in listed.ReferencedSeriesSequence]
        assert named == [coarse_phantom.dataset(one).SOPInstanceUID for one in REPORTS]


def test_every_reader_reads_every_object(measured: Study, program: Program, tmp_path: Path) -> None:
    """Of the phantom and of the real abdomen: what each finds is what pydicom finds."""
    for product in measured.outcome.products:
        assert readers.read(measured.path(product.file), tmp_path, program)


def test_dcmqi_reads_the_same_voxels(measured: Study, program: Program, tmp_path: Path) -> None:
    """Every segment of the phantom and of the real abdomen comes back voxel for voxel at its place in the patient."""
    geometry = measured.volume.geometry
    inverse, read = np.linalg.inv(geometry.affine), {}
    for number, places in places_by_dcmqi(Object(measured.path("seg.dcm"), tmp_path, program)):
        voxels = inverse[:3, :3] @ places + inverse[:3, 3:]
        whole = np.rint(voxels).astype(int)
        assert np.abs(voxels - whole).max() < 0.05
        read[number] = np.zeros(geometry.shape, dtype=bool)
        read[number][tuple(whole)] = True
        assert read[number].sum() == whole.shape[1]
    by_structure: dict[str, list[Mask]] = {}
    for one in measured.labels.segments:
        by_structure.setdefault(one.structure, []).append(one.region.full(geometry.shape))
    items = {str(item.SegmentLabel): int(item.SegmentNumber) for item in measured.dataset("seg.dcm").SegmentSequence}
    assert read.keys() == set(items.values())
    core = read[items.pop("L1 trabecular core")]
    assert core.sum() * geometry.voxel_volume_ml == pytest.approx(measured.value("l1.volume"))
    for label, number in items.items():
        structure = label.lower().replace(" ", "_").rstrip("_0123456789").replace("lesions", "lesion")
        assert np.array_equal(read[number], by_structure[structure].pop(0)), label
