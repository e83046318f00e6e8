"""The Summary as a DICOM object, and its pages as PNG."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, body
from made_seg import drawn, write_seg
from made_series import Layout, candidate, request, write_series
from made_series import spool as absolute
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage
from studies import Study, run

from node.core.dicom import RETURNING_CLASSES, result_uid
from node.core.settings import MeasurementSettings, Settings
from node.core.spool import Spool
from workers import cli, volume

MADE = Layout(spacing_mm=BODY_SPACING_MM)
PAGES = ("cover", "psoas", "l1", "liver", "lesion")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of boxes that was measured."""
    folder = tmp_path_factory.mktemp("summary")
    stored = (np.random.default_rng(8).normal(100, 12, BODY_SHAPE) + 1024).astype(np.uint16)
    paths = write_series(folder / "ct", stored, layout=MADE)
    geometry = volume.read(candidate(paths), absolute(), MeasurementSettings()).geometry
    seg = write_seg(folder / "seg.dcm", paths, geometry, drawn(body()))
    home = Spool(folder / "home")
    home.prepare()
    return run(request(paths, segmentations=[seg]), home)


def pictures(study: Study) -> list[Path]:
    return sorted(study.path("key-images").iterdir())


def test_the_summary_is_one_colour_image_of_a_frame_for_each_page(study: Study) -> None:
    """Uncompressed, in a series of its own after the others, named by its frames, without identity in its pixels."""
    ds = study.dataset("summary.dcm")
    assert ds.SOPClassUID == MultiFrameTrueColorSecondaryCaptureImageStorage
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (ds.NumberOfFrames, ds.Rows, ds.Columns, ds.PhotometricInterpretation) == (len(PAGES), 1024, 1024, "RGB")
    assert ds.SOPInstanceUID == result_uid(study.request.key, "summary")
    assert ds.SeriesInstanceUID == result_uid(study.request.key, "summary-series")
    numbers = [study.dataset(product.file).SeriesNumber for product in study.outcome.products]
    assert ds.SeriesNumber == max(numbers)
    assert len(set(numbers)) == len(numbers)
    assert list(ds.PageNumberVector) == [1, 2, 3, 4, 5]
    assert list(ds.FrameLabelVector) == ["Numbers", "Psoas", "L1 core", "Liver, lesions", "Largest lesion"]
    assert (ds.BurnedInAnnotation, ds.Modality, ds.ConversionType) == ("NO", "OT", "WSD")


def test_each_page_is_stored_as_png_too(study: Study) -> None:
    """The same pixels as the frame; they are files of the result and go nowhere."""
    frames = study.dataset("summary.dcm").pixel_array
    files = pictures(study)
    assert [file.name for file in files] == [f"{number}-{name}.png" for number, name in enumerate(PAGES, start=1)]
    for file, frame in zip(files, frames, strict=True):
        assert (np.asarray(Image.open(file)) == frame).all()
    assert not any(product.file.endswith(".png") for product in study.outcome.products)
    assert {f"key-images/{file.name}" for file in files} < set(study.outcome.files)


def test_the_slices_that_are_shown_are_its_sources(study: Study) -> None:
    """By image and by series; what is cut across slices has none."""
    ds = study.dataset("summary.dcm")
    slices = {str(one.sop_instance_uid) for one in study.volume.instances}
    named = [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence]
    assert len(set(named)) == len(named) == 3
    assert set(named) <= slices
    [series] = ds.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == study.volume.candidate.series_instance_uid
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == named


def test_the_same_job_gives_the_same_bytes(study: Study, tmp_path: Path) -> None:
    """On another day, in another folder: every file of the Summary is the same, bit by bit."""
    home = Spool(tmp_path)
    home.prepare()
    again = run(study.request, home)
    assert again.path("summary.dcm").read_bytes() == study.path("summary.dcm").read_bytes()
    assert [file.read_bytes() for file in pictures(again)] == [file.read_bytes() for file in pictures(study)]


def test_a_refused_study_gets_a_summary_of_one_page(study: Study, tmp_path: Path) -> None:
    """For destinations that take no SR: the cover says why; it shows no slice."""
    home = Spool(tmp_path)
    home.prepare()
    refused = run(replace(study.request, segmentations=()), home)
    ds = refused.dataset("summary.dcm")
    assert ds.NumberOfFrames == 1
    assert "SourceImageSequence" not in ds
    assert [file.name for file in pictures(refused)] == ["1-cover.png"]
    assert [product.kind for product in refused.outcome.products] == ["sr", "summary"]


def test_a_summary_that_comes_back_is_taken_for_our_own() -> None:
    """A PACS that routes whole studies here brings it back: the context is offered, and the object dropped."""
    assert MultiFrameTrueColorSecondaryCaptureImageStorage in RETURNING_CLASSES


def test_analyse_writes_the_pages_and_replaces_earlier_ones(study: Study, tmp_path: Path) -> None:
    """Pages of an earlier result do not stay beside those of a later one."""
    _, files = cli.measure(study.request, tmp_path, None, Settings().models)
    assert {file for file in files if file.endswith(".png")} == {f"key-images/{file.name}" for file in pictures(study)}
    assert all((tmp_path / file).is_file() for file in files)
    cli.measure(replace(study.request, segmentations=()), tmp_path, None, Settings().models)
    assert [path.name for path in (tmp_path / "key-images").iterdir()] == ["1-cover.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "sr.dcm", "summary.dcm", "key-images"}


def test_pictures_of_somebody_else_are_not_replaced(study: Study, tmp_path: Path) -> None:
    """A folder of that name without a result of ours beside it is not touched."""
    (tmp_path / "key-images").mkdir()
    with pytest.raises(FileExistsError, match="key-images"):
        cli.require_own(tmp_path)
