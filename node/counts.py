"""Beside stage 3: whether the archives hold more slices of a study than have come to us.

Comes in: a study's CT images by series, as the ledger knows them. Goes out: `Counted`: what is missing by an archive's
own count, and which archives said nothing of the study. What can go wrong: nothing is raised; an archive that is away
or does not know the study says nothing, and that is no evidence against the study. Next: `node.completeness`.

An archive is asked for its series of the study with their number of instances (C-FIND, 0020,1209). Only series are
compared of which CT images have come here: our own results and reports do not count, and a series that is not sent
here is a matter of the site's routing. Where an archive has more than we, or does not count, it is asked for the
series image by image, and what we never take in (a screen capture within a CT series) is left out.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pydicom import Dataset

from node.core.dicom import IMAGE_CLASSES
from node.core.errors import Unavailable
from node.inquiry import Respondent
from node.values import text

Held = Mapping[str, Collection[str]]  # SOP Instance UIDs of CT images, by series


@dataclass(frozen=True)
class Shortage:
    """How many images of a series an archive holds that have not come."""

    archive: str
    series_instance_uid: str
    missing: int


@dataclass(frozen=True)
class Counted:
    """What archives say of a study.

    Parameters
    ----------
    missing
        What is missing by their count.
    silent
        Names of archives that did not answer, or do not know the study.
    """

    missing: tuple[Shortage, ...] = ()
    silent: tuple[str, ...] = ()


def count(archives: Sequence[Respondent], study_uid: str, held: Held) -> Counted:
    """Ask every archive of a study."""
    missing: list[Shortage] = []
    silent: list[str] = []
    for archive in archives if held else ():
        try:
            series = archive.find(
                "SERIES", {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "NumberOfSeriesRelatedInstances": ""}
            )
            known = {text(one, "SeriesInstanceUID"): one for one in series}
            if not known.keys() & held.keys():
                silent.append(archive.name)
                continue
            for uid in sorted(known.keys() & held.keys()):
                lacking = _lacking(archive, study_uid, known[uid], held[uid])
                if lacking:
                    missing.append(Shortage(archive.name, uid, lacking))
        except Unavailable:
            silent.append(archive.name)
    return Counted(tuple(missing), tuple(silent))


def _lacking(archive: Respondent, study_uid: str, series: Dataset, held: Collection[str]) -> int:
    """Return how many images of a series the archive holds that have not come here, and would be taken."""
    try:
        if int(text(series, "NumberOfSeriesRelatedInstances")) <= len(held):
            return 0
    except ValueError:  # it does not count
        pass
    keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": text(series, "SeriesInstanceUID")}
    images = archive.find("IMAGE", {**keys, "SOPInstanceUID": "", "SOPClassUID": ""})
    taken = {text(one, "SOPInstanceUID") for one in images if text(one, "SOPClassUID") in ("", *IMAGE_CLASSES)}
    return len(taken - set(held))
