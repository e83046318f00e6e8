"""Judges that nobody here wrote, put to every kind of object, and to a damaged copy to show that they can refuse."""

import json
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
import SimpleITK
from made_arrays import BODY_SHAPE, body
from made_seg import drawn, write_seg
from made_series import LAYOUTS, candidate, request, write_series
from made_series import spool as absolute
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code
from sr_reading import children, groups, name, number, walk
from studies import Study, run

from node.core.codes import MEASUREMENTS
from node.core.records import Document, Superseded
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from workers import volume
from workers.records import Mask
from workers.report import rejection

DOCUMENT = (Path(__file__).parents[2] / "docs" / "validators.md").read_text("utf-8")
SR = ("sr.dcm", "sr-viewer.dcm")
KINDS = ("archival", "viewer", "refusal", "superseding", "multi-frame")
Program = Callable[[str], str]
Harm = Callable[[Dataset], None]


def known_warnings(heading: str) -> list[re.Pattern[str]]:
    """Return the patterns of a table of docs/validators.md."""
    section = DOCUMENT.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| `(.+?)` \|", section, flags=re.MULTILINE)
    return [re.compile(cell.replace("\\|", "|")) for cell in cells]


def said(*command: str) -> list[str]:
    """Run a judge and return what it said, on either stream."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, f"{command[0]} said nothing"
    return lines


def errors(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("Error")]


def unknown(lines: list[str], heading: str) -> list[str]:
    known = known_warnings(heading)
    warnings = [line for line in lines if line.startswith("Warning")]
    return [line for line in warnings if not any(pattern.fullmatch(line) for pattern in known)]


def damaged(path: Path, target: Path, harm: Harm) -> Path:
    """Write a copy with a fault."""
    ds = dcmread(path)
    harm(ds)
    ds.save_as(target)
    return target


class PixelMed:
    """PixelMed's validator, two at a time at most: each wants a core and more than 1 GB of memory."""

    JARS = ("pixelmed", "commons-codec", "vecmath", "slf4j-api", "slf4j-nop", "javax.json")

    def __init__(self, java: str, jars: list[Path]) -> None:
        limits = ("xpathTotalOpLimit", "xpathExprOpLimit", "xpathExprGrpLimit")
        self.command = [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *(f"-Djdk.xml.{one}=0" for one in limits)]
        self.command += ["-cp", ":".join(map(str, jars)), "com.pixelmed.validate.DicomSRValidator"]
        self.pool = ThreadPoolExecutor(max_workers=2)

    def ask(self, path: Path) -> "Future[list[str]]":
        """Start a validation."""
        return self.pool.submit(said, *self.command, str(path))


@pytest.fixture(scope="session")
def revised_phantom(coarse_phantom: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A second result of the phantom, which supersedes the first."""
    first = coarse_phantom.request
    documents = tuple(
        Document(str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))
        for ds in (coarse_phantom.dataset(file) for file in SR)
    )
    old = Superseded(first.key, first.requested_at, first.revision, documents)
    spool = Spool(tmp_path_factory.mktemp("revised-home"))
    spool.prepare()
    later = first.requested_at + timedelta(hours=1)
    return run(replace(first, requested_at=later, after=first.key, supersedes=old), spool)


@pytest.fixture(scope="session")
def pixelmed_said(
    coarse_phantom: Study,
    revised_phantom: Study,
    refused_phantom: Study,
    enhanced_phantom: Study,
    program: Program,
    lacking: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> "dict[str, Future[list[str]]]":
    """What PixelMed's validator says of each kind of SR, and of a damaged one; all are started at once."""
    java, folder = program("java"), Path("/usr/share/java")
    jars = [folder / f"{jar}.jar" for jar in PixelMed.JARS]
    if missing := [jar.name for jar in jars if not jar.exists()]:
        lacking(f"{', '.join(missing)} (libpixelmed-java)")

    def lose_segment(ds: Dataset) -> None:
        group = groups(ds)[0]
        group.ContentSequence = [item for item in group.ContentSequence if name(item) != "121191"]

    bad = damaged(coarse_phantom.path("sr.dcm"), tmp_path_factory.mktemp("damaged") / "sr.dcm", lose_segment)
    judge = PixelMed(java, jars)
    return {
        "archival": judge.ask(coarse_phantom.path("sr.dcm")),
        "viewer": judge.ask(coarse_phantom.path("sr-viewer.dcm")),
        "refusal": judge.ask(refused_phantom.path("sr.dcm")),
        "superseding": judge.ask(revised_phantom.path("sr.dcm")),
        "multi-frame": judge.ask(enhanced_phantom.path("sr.dcm")),
        "damaged": judge.ask(bad),
    }


def test_pixelmed_is_asked_first(pixelmed_said: "dict[str, Future[list[str]]]") -> None:
    """Each kind of SR is put to it before all else, so that it works while the other judges do."""
    assert set(pixelmed_said) == {*KINDS, "damaged"}


def test_the_tables_of_warnings_are_read() -> None:
    """The patterns are really found in the document: an empty table would let nothing, or anything, pass."""
    assert len(known_warnings("Warnings of dciodvfy and dcentvfy")) == 5
    assert len(known_warnings("Warnings of PixelMed's validator")) == 2


def test_dciodvfy_finds_no_error(any_study: Study, objects: list[str], program: Program) -> None:
    """Every object obeys its IOD; what it warns of is listed with its reason."""
    for file in objects:
        lines = said(program("dciodvfy"), str(any_study.path(file)))
        assert lines[0] in ("Segmentation", "Comprehensive3DSR", "MultiframeTrueColorSCImage")
        assert errors(lines) == []
        assert unknown(lines, "Warnings of dciodvfy and dcentvfy") == []


def test_a_superseding_result_is_of_the_same_study(
    coarse_phantom: Study, revised_phantom: Study, program: Program
) -> None:
    """Both results and the CT agree, every object of the later one obeys its IOD, and it names the earlier SR."""
    results = (coarse_phantom, revised_phantom)
    files = [str(one.path(product.file)) for one in results for product in one.outcome.products]
    files += [str(revised_phantom.spool.file(one)) for one in revised_phantom.volume.instances]
    command = [program("dcentvfy"), *files]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240, check=False)
    assert errors((done.stdout + done.stderr).splitlines()) == []
    for product in revised_phantom.outcome.products:
        lines = said(program("dciodvfy"), str(revised_phantom.path(product.file)))
        assert errors(lines) == []
        assert unknown(lines, "Warnings of dciodvfy and dcentvfy") == []
    for file in SR:
        shown = "\n".join(said(program("dsrdump"), "+Pl", str(revised_phantom.path(file))))
        [listed] = hd.sr.srread(revised_phantom.path(file)).PredecessorDocumentsSequence
        named = [one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in listed.ReferencedSeriesSequence]
        assert named == [coarse_phantom.dataset(one).SOPInstanceUID for one in SR]
        assert "Predecessor Docs" in shown


def test_dciodvfy_can_refuse_a_predecessor(revised_phantom: Study, program: Program, tmp_path: Path) -> None:
    """A reference without its instance is an error to it."""

    def lose_instance(ds: Dataset) -> None:
        del ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence

    bad = damaged(revised_phantom.path("sr.dcm"), tmp_path / "sr.dcm", lose_instance)
    assert errors(said(program("dciodvfy"), str(bad)))


def without_rows(ds: Dataset) -> None:
    del ds.Rows


def without_completion(ds: Dataset) -> None:
    del ds.CompletionFlag


@pytest.mark.parametrize(
    ("file", "harm"), [("seg.dcm", without_rows), ("sr.dcm", without_completion), ("sr-viewer.dcm", without_completion)]
)
def test_dciodvfy_can_refuse(file: str, harm: Harm, coarse_phantom: Study, program: Program, tmp_path: Path) -> None:
    """A missing type 1 attribute is an error to it."""
    assert errors(said(program("dciodvfy"), str(damaged(coarse_phantom.path(file), tmp_path / file, harm))))


def test_dcentvfy_finds_one_patient_and_one_study(any_study: Study, objects: list[str], program: Program) -> None:
    """All objects of a result and the CT agree in every attribute of patient, study, series and frame of reference."""
    images = [str(any_study.spool.file(one)) for one in dict.fromkeys(any_study.volume.instances)]
    command = [program("dcentvfy"), *(str(any_study.path(file)) for file in objects), *images]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240, check=False)
    lines = (done.stdout + done.stderr).splitlines()  # where all is well it may say nothing at all
    assert done.returncode == 0
    assert errors(lines) == []
    assert unknown(lines, "Warnings of dciodvfy and dcentvfy") == []


def test_dcentvfy_can_refuse(coarse_phantom: Study, program: Program, tmp_path: Path) -> None:
    """An SR of another patient beside the CT is an error to it."""

    def rename(ds: Dataset) -> None:
        ds.PatientName = "Someone^Else"

    other = damaged(coarse_phantom.path("sr.dcm"), tmp_path / "sr.dcm", rename)
    slice_ = coarse_phantom.spool.file(coarse_phantom.volume.instances[0])
    assert errors(said(program("dcentvfy"), str(other), str(slice_)))


@pytest.fixture
def note(coarse_phantom: Study, refused_phantom: Study, tmp_path: Path) -> Path:
    """A rejection note that rejects a measured result for a refusal; the study is the same."""
    rejected = [coarse_phantom.dataset(product.file) for product in coarse_phantom.outcome.products]
    ds = rejection.build(refused_phantom.request, "pacs", rejected, refused_phantom.dataset("sr.dcm"))
    path = tmp_path / "rejection.dcm"
    path.write_bytes(rejection.encode(ds))
    return path


def test_dciodvfy_finds_no_error_in_a_rejection_note(note: Path, program: Program, tmp_path: Path) -> None:
    """A Key Object Selection Document that obeys its IOD; without its evidence it would not."""
    lines = said(program("dciodvfy"), str(note))
    assert lines[0] == "KeyObjectSelectionDocument"
    assert errors(lines) == []
    assert unknown(lines, "Warnings of dciodvfy and dcentvfy") == []

    def lose_evidence(ds: Dataset) -> None:
        del ds.CurrentRequestedProcedureEvidenceSequence

    assert errors(said(program("dciodvfy"), str(damaged(note, tmp_path / "bad.dcm", lose_evidence))))


def test_a_rejection_note_is_of_the_patient_and_study_of_what_it_rejects(
    note: Path, coarse_phantom: Study, refused_phantom: Study, program: Program
) -> None:
    """dcentvfy sees one patient and one study in note, rejected objects and new result."""
    rejected = [str(coarse_phantom.path(product.file)) for product in coarse_phantom.outcome.products]
    command = [program("dcentvfy"), str(note), *rejected, str(refused_phantom.path("sr.dcm"))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0
    assert errors(lines) == []
    assert unknown(lines, "Warnings of dciodvfy and dcentvfy") == []


def test_dsrdump_and_highdicom_read_a_rejection_note(note: Path, coarse_phantom: Study, program: Program) -> None:
    """The title is that of the IHE profile, and each rejected object is found with its study and series."""
    done = subprocess.run(
        [program("dsrdump"), "+Pc", str(note)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert '(113001,DCM,"Rejected for Quality Reasons")' in done.stdout
    document = hd.ko.KeyObjectSelectionDocument.from_dataset(dcmread(note))
    rejected = [coarse_phantom.dataset(product.file) for product in coarse_phantom.outcome.products]
    named = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in document.content.get_references()}
    assert named == {ds.SOPInstanceUID for ds in rejected}
    for ds in rejected:
        uids = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        assert document.resolve_reference(ds.SOPInstanceUID) == uids


def masks_by_dcmqi(study: Study, program: Program, folder: Path, file: Path | None = None) -> dict[int, Mask]:
    """Return each segment as dcmqi sees it, laid on the volume by physical coordinates."""
    folder.mkdir()
    seg = str(file or study.path("seg.dcm"))
    said(program("segimage2itkimage"), "--inputDICOM", seg, "--outputDirectory", str(folder), "-t", "nrrd")
    geometry = study.volume.geometry
    inverse = np.linalg.inv(geometry.affine)
    found = {}
    for path in folder.glob("*.nrrd"):
        image = SimpleITK.ReadImage(str(path))
        k, j, i = np.nonzero(SimpleITK.GetArrayFromImage(image))
        directions = np.asarray(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        points = directions @ np.stack([i, j, k]) + np.asarray(image.GetOrigin())[:, None]
        voxels = (inverse @ np.vstack([points, np.ones(points.shape[1])]))[:3]
        whole = np.rint(voxels).astype(int)
        assert np.abs(voxels - whole).max() < 0.05
        mask = np.zeros(geometry.shape, dtype=bool)
        mask[tuple(whole)] = True
        assert mask.sum() == k.size
        found[int(path.stem)] = mask
    return found


def written_masks(study: Study) -> dict[int, Mask]:
    """Return what was measured, under the numbers of the SEG: imported masks, and the core by its volume."""
    by_structure: dict[str, list[Mask]] = {}
    for one in study.labels.segments:
        by_structure.setdefault(one.structure, []).append(one.region.full(study.volume.geometry.shape))
    found = {}
    for item in study.dataset("seg.dcm").SegmentSequence:
        named = str(item.SegmentLabel).lower().replace(" ", "_").rstrip("_0123456789")
        structure = "liver_lesion" if named == "liver_lesions" else named
        if structure in by_structure:
            found[int(item.SegmentNumber)] = by_structure[structure].pop(0)
    return found


def compare_with_dcmqi(study: Study, program: Program, folder: Path) -> None:
    ours, theirs = written_masks(study), masks_by_dcmqi(study, program, folder)
    numbers = {int(item.SegmentNumber): str(item.SegmentLabel) for item in study.dataset("seg.dcm").SegmentSequence}
    assert set(theirs) == set(numbers)
    [core] = [number_ for number_, label in numbers.items() if label == "L1 trabecular core"]
    assert set(ours) | {core} == set(numbers)
    for number_, mask in ours.items():
        assert np.array_equal(theirs[number_], mask), numbers[number_]
    assert theirs[core].sum() * study.volume.geometry.voxel_volume_ml == pytest.approx(study.value("l1.volume"))


def test_dcmqi_reads_the_same_voxels(measured: Study, program: Program, tmp_path: Path) -> None:
    """Every segment of the phantom and of the real abdomen comes back voxel for voxel at its place in the patient."""
    compare_with_dcmqi(measured, program, tmp_path / "itk")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dcmqi_reads_the_same_voxels_in_every_layout(layout: str, program: Program, tmp_path: Path) -> None:
    """Axial, stacked downwards, flipped, turned, transposed, oblique; rows and columns of unequal spacing."""
    hu = (np.random.default_rng(8).normal(100, 12, BODY_SHAPE) + 1024).astype(np.uint16)
    unequal = replace(LAYOUTS[layout], spacing_mm=(3.0, 3.6, 3.4))  # the boxes are then as large as a body's parts
    paths = write_series(tmp_path / "ct", hu, layout=unequal)
    read = volume.read(candidate(paths), absolute(), MeasurementSettings())
    order = [Path(one.path) for one in read.instances]
    masks = body()
    seg = write_seg(tmp_path / "seg.dcm", order, read.geometry, drawn(masks))
    spool = Spool(tmp_path / "home")
    spool.prepare()
    compare_with_dcmqi(run(request(paths, segmentations=[seg]), spool), program, tmp_path / "itk")


def test_the_comparison_with_dcmqi_can_fail(coarse_phantom: Study, program: Program, tmp_path: Path) -> None:
    """One bit of one frame changed is seen as one voxel that differs."""

    def flip(ds: Dataset) -> None:
        content = bytearray(ds.PixelData)
        content[len(content) // 3] ^= 1
        ds.PixelData = bytes(content)

    bad = damaged(coarse_phantom.path("seg.dcm"), tmp_path / "seg.dcm", flip)
    ours = written_masks(coarse_phantom)
    theirs = masks_by_dcmqi(coarse_phantom, program, tmp_path / "itk", bad)
    assert sum(int((theirs[number_] ^ mask).sum()) for number_, mask in ours.items()) == 1


def test_dcmqi_reads_the_numbers_of_the_archival_sr(measured: Study, program: Program, tmp_path: Path) -> None:
    """`tid1500reader` finds each segment's group with its finding, segment and values."""
    target = tmp_path / "sr.json"
    archival = measured.path("sr.dcm")
    said(program("tid1500reader"), "--inputDICOM", str(archival), "--outputMetadata", str(target))
    read = {group["TrackingUniqueIdentifier"]: group for group in json.loads(target.read_text())["Measurements"]}
    for group in groups(dcmread(archival)):
        references = children(group, "IMAGE", "121191")
        if references:
            theirs = read[str(next(item.UID for item in children(group, "UIDREF", "112040")))]
            segment = int(references[0].ReferencedSOPSequence[0].ReferencedSegmentNumber)
            assert theirs["ReferencedSegment"] == segment
            values = [float(item["value"]) for item in theirs.get("measurementItems", [])]
            assert values == [number(item)[0] for item in children(group, "NUM")]


def test_dsrdump_prints_every_number(any_study: Study, objects: list[str], program: Program) -> None:
    """DCMTK reads each SR by its rules and prints value and unit of every NUM."""
    for file in objects:
        if file in ("seg.dcm", "summary.dcm"):
            continue
        command = [program("dsrdump"), "+Pl", str(any_study.path(file))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        for item in walk(any_study.dataset(file)):
            if item.ValueType == "NUM":
                value = item.MeasuredValueSequence[0].NumericValue
                assert f'="{value}" ({number(item)[1]},UCUM,' in done.stdout


def test_dsrdump_can_refuse(refused_phantom: Study, program: Program, tmp_path: Path) -> None:
    """A content item without a value is refused."""

    def empty(ds: Dataset) -> None:
        [item] = [one for one in walk(ds) if one.ValueType == "CODE" and name(one) == "study-refused"]
        del item.ConceptCodeSequence

    bad = damaged(refused_phantom.path("sr.dcm"), tmp_path / "sr.dcm", empty)
    assert subprocess.run([program("dsrdump"), str(bad)], capture_output=True, check=False).returncode != 0


def test_highdicom_reads_what_was_written(measured: Study) -> None:
    """Groups by kind, values and the segments they refer to, through its public readers."""
    content = hd.sr.srread(measured.path("sr.dcm")).content
    volumetric = content.get_volumetric_roi_measurement_groups()
    planar = content.get_planar_roi_measurement_groups()
    assert len(volumetric) + len(planar) == len(groups(measured.dataset("sr.dcm")))
    [liver] = content.get_volumetric_roi_measurement_groups(tracking_uid=tracking(measured, "Liver"))
    [value] = liver.get_measurements(name=Code("118565006", "SCT", "Volume"))
    assert value.value == pytest.approx(measured.value("liver.volume"), abs=1e-4)
    seg = hd.seg.segread(measured.path("seg.dcm"))
    referenced = liver.referenced_segment[0].ReferencedSOPSequence[0]
    assert referenced.ReferencedSOPInstanceUID == seg.SOPInstanceUID
    assert seg.get_segment_description(int(referenced.ReferencedSegmentNumber)).segment_label == "Liver"
    liver_frames = seg.get_volume(segment_numbers=[1]).array
    assert liver_frames.sum() == written_masks(measured)[1].sum()


def tracking(study: Study, label: str) -> str:
    [item] = [one for one in study.dataset("seg.dcm").SegmentSequence if one.SegmentLabel == label]
    return str(item.TrackingUID)


def test_highdicom_reads_the_viewer_sr_and_the_refusal(measured: Study, refused_phantom: Study) -> None:
    """The drawn groups are measurement groups with their numbers; the refusal is a report without any."""
    drawn_groups = hd.sr.srread(measured.path("sr-viewer.dcm")).content.get_image_measurement_groups()
    names = {one.name.value for group in drawn_groups for one in group.get_measurements()}
    assert names <= set(MEASUREMENTS)
    assert "liver.volume" in names
    assert "psoas.pmvi" in names
    refused = hd.sr.srread(refused_phantom.path("sr.dcm"))
    assert refused.content.get_image_measurement_groups() == []


def lose_value_type(ds: Dataset) -> None:
    del groups(ds)[0].ContentSequence[0].ValueType


def lose_segments(ds: Dataset) -> None:
    del ds.SegmentSequence


@pytest.mark.parametrize(
    ("file", "harm", "read"),
    [("sr.dcm", lose_value_type, hd.sr.srread), ("seg.dcm", lose_segments, hd.seg.segread)],
    ids=["srread", "segread"],
)
def test_highdicom_can_refuse(
    file: str, harm: Harm, read: Callable[[Path], Any], coarse_phantom: Study, tmp_path: Path
) -> None:
    """Without value type, or without segments, its readers raise."""
    bad = damaged(coarse_phantom.path(file), tmp_path / file, harm)
    with pytest.raises((AttributeError, ValueError, KeyError)):
        read(bad)


@pytest.mark.parametrize("kind", KINDS)
def test_pixelmed_finds_no_error(kind: str, pixelmed_said: "dict[str, Future[list[str]]]") -> None:
    """IOD and TID 1500 with its groups; what it warns of is listed with its reason."""
    lines = pixelmed_said[kind].result()
    assert "Found Root Template TID_1500 (MeasurementReport)" in lines
    assert "Root Template Validation Complete" in lines
    assert "IOD validation complete" in lines
    assert errors(lines) == []
    assert unknown(lines, "Warnings of PixelMed's validator") == []


def test_pixelmed_can_refuse(pixelmed_said: "dict[str, Future[list[str]]]") -> None:
    """A group that has lost its segment is an error to it."""
    assert errors(pixelmed_said["damaged"].result())
