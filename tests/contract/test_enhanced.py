"""A study of multi-frame images: the numbers of its single slices, and results that refer to frames."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from sr_reading import walk
from studies import Study, analyse

Program = Callable[[str], str]


def frame_of(study: Study, reference: Dataset) -> int:
    """Return the slice of the volume that a reference to one frame names."""
    number = reference.ReferencedFrameNumber
    named = (str(reference.ReferencedSOPInstanceUID), int(number))
    images = [one.sop_instance_uid for one in study.volume.instances]
    sources = [(one, frame) for one, frame in zip(images, study.volume.frames, strict=True)]
    return sources.index(named)


def test_the_numbers_are_those_of_the_single_slices(enhanced_phantom: Study, coarse_phantom: Study) -> None:
    """Every measurement, the volume's SHA-1, the acquisition: only the UIDs differ."""
    found, expected = enhanced_phantom.document, coarse_phantom.document
    assert found["refusal"] is None
    assert found["measurements"] == expected["measurements"]
    # Enhanced images of the maker say no less than its slices; the rest of `quality` is what was read of the pixels.
    assert found["quality"] == expected["quality"]
    assert found["study"]["patient"] == expected["study"]["patient"]


def test_segments_lie_where_those_of_the_single_slices_lie(enhanced_phantom: Study, coarse_phantom: Study) -> None:
    """Frame by frame: mask, segment and position are the same, and each names the frame that lies there."""
    found, expected = enhanced_phantom.dataset("seg.dcm"), coarse_phantom.dataset("seg.dcm")
    assert np.array_equal(found.pixel_array, expected.pixel_array)
    pairs = zip(found.PerFrameFunctionalGroupsSequence, expected.PerFrameFunctionalGroupsSequence, strict=True)
    for own, other in pairs:
        assert own.SegmentIdentificationSequence == other.SegmentIdentificationSequence
        position = own.PlanePositionSequence[0].ImagePositionPatient
        assert position == other.PlanePositionSequence[0].ImagePositionPatient
        [reference] = own.DerivationImageSequence[0].SourceImageSequence
        index = frame_of(enhanced_phantom, reference)
        corner = enhanced_phantom.volume.geometry.affine @ [index, 0, 0, 1]
        assert [float(value) for value in position] == pytest.approx(corner[:3], abs=1e-3)


def test_each_image_is_listed_once_and_no_uid_stands_in(enhanced_phantom: Study) -> None:
    """Common instance reference, source images and evidence name the two images, by class, and the imported SEG."""
    images = {one.sop_instance_uid for one in enhanced_phantom.volume.instances}
    [drawn] = (one.sop_instance_uid for one in enhanced_phantom.request.segmentations)
    seg = enhanced_phantom.dataset("seg.dcm")
    series, theirs = seg.ReferencedSeriesSequence
    for listed in (
        [*series.ReferencedInstanceSequence, *theirs.ReferencedInstanceSequence],
        seg.SourceImageSequence,
    ):
        assert [one.ReferencedSOPInstanceUID for one in listed] == [*sorted(images), drawn]
        assert not any("ReferencedFrameNumber" in one for one in listed)
    own = {str(seg.SOPInstanceUID)}
    for file in ("seg.dcm", "sr.dcm", "sr-viewer.dcm"):
        ds = enhanced_phantom.dataset(file)
        listed = [item for item in items(ds) if "ReferencedSOPInstanceUID" in item]
        classes = {str(one.ReferencedSOPInstanceUID): str(one.ReferencedSOPClassUID) for one in listed}
        named = set(classes)
        assert named - own == images | ({drawn} if file != "sr-viewer.dcm" else set())
        assert {classes[uid] for uid in images} == {"1.2.840.10008.5.1.4.1.1.2.1"}


def items(ds: Dataset) -> Iterator[Dataset]:
    """Yield every item of every sequence, however deep."""
    for element in ds:
        for item in element.value if element.VR == "SQ" else ():
            yield item
            yield from items(item)


@pytest.mark.parametrize("file", ["sr.dcm", "sr-viewer.dcm"])
def test_every_outline_names_the_frame_that_it_lies_on(
    file: str, enhanced_phantom: Study, coarse_phantom: Study
) -> None:
    """The references of both reports, one by one, are to the same slices of the volume."""
    order = {one.sop_instance_uid: index for index, one in enumerate(coarse_phantom.volume.instances)}
    found, expected = (
        [item.ReferencedSOPSequence[0] for item in walk(study.dataset(file)) if item.ValueType == "IMAGE"]
        for study in (enhanced_phantom, coarse_phantom)
    )
    outlines = [one for one in found if "ReferencedFrameNumber" in one]
    plain = [one for one in expected if str(one.ReferencedSOPInstanceUID) in order]
    assert len(outlines) > 4
    places = [frame_of(enhanced_phantom, one) for one in outlines]
    assert places == [order[str(one.ReferencedSOPInstanceUID)] for one in plain]
    assert hd.sr.srread(enhanced_phantom.path(file)).SOPClassUID


def test_dciodvfy_finds_no_error_in_the_images(enhanced_phantom_files: Path, program: Program) -> None:
    """That what is measured here is an Enhanced CT image at all is said by somebody else too."""
    done = subprocess.run(
        [program("dciodvfy"), str(enhanced_phantom_files / "0.dcm")], capture_output=True, text=True, check=False
    )
    assert "EnhancedCTImage" in (done.stdout + done.stderr).splitlines()


def test_dcmqi_reads_the_segments_back(enhanced_phantom: Study, program: Program, tmp_path: Path) -> None:
    """The SEG of multi-frame images becomes one volume of the source grid's size for it."""
    path = enhanced_phantom.path("seg.dcm")
    command = [program("segimage2itkimage"), "--inputDICOM", str(path), "--outputDirectory", str(tmp_path)]
    done = subprocess.run([*command, "--outputType", "nii"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    facts = json.loads(next(tmp_path.glob("*.json")).read_text("utf-8"))
    segments = [one for group in facts["segmentAttributes"] for one in group]
    assert len(segments) == len(enhanced_phantom.dataset("seg.dcm").SegmentSequence)


def test_our_own_seg_of_the_frames_is_taken_back(
    enhanced_phantom: Study, enhanced_phantom_files: Path, tmp_path: Path
) -> None:
    """A SEG that names frames lies on them: measured on it, the liver is the same."""
    again = dcmread(enhanced_phantom.path("seg.dcm"))
    again.Manufacturer = "Someone"
    path = tmp_path / "seg.dcm"
    again.save_as(path)
    study = analyse(enhanced_phantom_files, path, tmp_path / "home")
    assert study.value("liver.volume") == enhanced_phantom.value("liver.volume")
    assert study.value("psoas.left.volume") == enhanced_phantom.value("psoas.left.volume")
