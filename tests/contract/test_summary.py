"""The Summary before judges that nobody here wrote, and readers of DICOM and PNG."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from studies import Study

DOCUMENT = (Path(__file__).parents[2] / "docs" / "validators.md").read_text("utf-8")
FILE = "summary.dcm"
Program = Callable[[str], str]


def said(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=240, check=False)
    return (done.stdout + done.stderr).splitlines()


def faults(lines: list[str]) -> list[str]:
    """Return errors, and the warnings that are not in a table of docs/validators.md."""
    cells = re.findall(r"^\| `(Warning .+?)` \|", DOCUMENT, flags=re.MULTILINE)
    assert cells
    known = [re.compile(cell.replace("\\|", "|")) for cell in cells]
    warnings = [line for line in lines if line.startswith("Warning")]
    unknown = [line for line in warnings if not any(pattern.fullmatch(line) for pattern in known)]
    return [line for line in lines if line.startswith("Error")] + unknown


def test_dciodvfy_finds_no_error(any_study: Study, program: Program) -> None:
    """It obeys its IOD, of every kind of study; what is warned of is listed with its reason."""
    lines = said(program("dciodvfy"), str(any_study.path(FILE)))
    assert lines[0] == "MultiframeTrueColorSCImage"
    assert faults(lines) == []


@pytest.mark.parametrize("keyword", ["BurnedInAnnotation", "PageNumberVector", "ConversionType", "Rows"])
def test_dciodvfy_can_refuse(keyword: str, coarse_phantom: Study, program: Program, tmp_path: Path) -> None:
    """A missing attribute that the IOD asks for is an error to it."""
    ds = dcmread(coarse_phantom.path(FILE))
    del ds[keyword]
    ds.save_as(tmp_path / FILE)
    assert [line for line in said(program("dciodvfy"), str(tmp_path / FILE)) if line.startswith("Error")]


def test_dcentvfy_finds_one_patient_and_one_study(any_study: Study, program: Program) -> None:
    """It agrees with the CT and the other objects of the result in all that they share."""
    images = [str(any_study.spool.file(one)) for one in dict.fromkeys(any_study.volume.instances)]
    objects = [str(any_study.path(product.file)) for product in any_study.outcome.products]
    assert str(any_study.path(FILE)) in objects
    lines = said(program("dcentvfy"), *objects, *images)
    assert [line for line in lines if line.startswith("Error")] == []


def test_other_readers_see_the_same_pictures(coarse_phantom: Study, program: Program, tmp_path: Path) -> None:
    """DCMTK and highdicom decode every frame to the pixels of the PNG."""
    frames = coarse_phantom.dataset(FILE).pixel_array
    read = hd.imread(coarse_phantom.path(FILE))
    for number, frame in enumerate(frames, start=1):
        assert (read.get_frame(number) == frame).all()
        picture = tmp_path / f"{number}.ppm"
        command = [program("dcm2pnm"), "+F", str(number), "+op", str(coarse_phantom.path(FILE)), str(picture)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        assert (np.asarray(Image.open(picture)) == frame).all()


def test_every_study_has_a_summary_without_its_identity(any_study: Study) -> None:
    """The header has the patient of the CT; its free texts of our making have none of it."""
    ds: Dataset = any_study.dataset(FILE)
    [source, *_] = any_study.sources
    assert (ds.PatientName, ds.PatientID) == (source.PatientName, source.PatientID)
    assert ds.BurnedInAnnotation == "NO"
    assert str(source.PatientID) not in " ".join(
        [ds.SeriesDescription, ds.DerivationDescription, *ds.get("FrameLabelVector", ())]
    )
