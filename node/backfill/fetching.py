"""Fetching one study: its CT series are moved to us, and what came is held against what the archive lists.

Comes in: a Study Instance UID. Goes out: an `Outcome`. Only CT series are moved, never SEG or SR, ours above all; what
is in a CT series and no CT image (a protocol sheet as Secondary Capture) is not asked for where nothing else is in the
series, and not missed. The ledger says what is here: a series of which every image is here is not moved, and an image
that came is known by its UID, whatever the archive counts. What can go wrong: the archive cannot be reached at all
(`Away`), or does not know us (`NotKnownThere`): neither is the fault of a study. Who is next: `node.backfill.campaign`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event

from pydicom import Dataset

from node.backfill.plan import Fate, Outcome
from node.core.dicom import IMAGE_CLASSES, is_uid
from node.core.dimse import DESTINATION_UNKNOWN
from node.core.errors import Unavailable
from node.core.ledger import Ledger, studies
from node.core.peer import Peer
from node.core.query import Inquiry, Moved
from node.core.reasons import Outage

ARRIVAL_PATIENCE_S = 20.0  # an archive may answer first and send then: so long nothing new may come
_LOOK_S = 0.2
_MODALITY = "CT"

OnProgress = Callable[[Moved], None]


class Away(Unavailable):
    """The archive lets no association be made: no study can be fetched now."""


class NotKnownThere(RuntimeError):
    """The archive does not know us as a destination; the message says what has to be entered there."""


@dataclass(frozen=True)
class Series:
    """A CT series that an archive lists; `instances` is None where it does not say how many."""

    series_uid: str
    description: str
    instances: int | None


def ct_series(inquiry: Inquiry, study_uid: str) -> list[Series]:
    """Return the CT series of a study, as the archive lists them."""
    keys = dict.fromkeys(("SeriesInstanceUID", "SeriesDescription", "NumberOfSeriesRelatedInstances"), "")
    answers = inquiry.find("SERIES", {"StudyInstanceUID": study_uid, "Modality": _MODALITY, **keys})
    return [_series(answer) for answer in answers if _is_ct(answer)]


def held_of(ledger: Ledger, study_uid: str) -> dict[str, set[str]]:
    """Return what is here of a study, or was until its time was over: SOP Instance UIDs by series."""
    held: dict[str, set[str]] = {}
    with ledger.transaction() as session:
        for row in studies.instances_of(session, study_uid):
            held.setdefault(row.series_uid, set()).add(row.sop_instance_uid)
    return held


@dataclass(frozen=True)
class Fetching:
    """Fetches studies from an archive.

    Parameters
    ----------
    peer
        The archive.
    ledger
        Says what is here.
    port
        Where we listen, for the sentence of `NotKnownThere`.
    stop
        Once it is set, what is under way is cancelled.
    """

    peer: Peer
    ledger: Ledger
    port: int
    stop: Event

    def fetch(self, study_uid: str, on_progress: OnProgress | None = None) -> Outcome:
        """Fetch what is missing of a study.

        Returns
        -------
        Outcome
            A study of which not all came has failed, and says why.

        Raises
        ------
        Away
            No association can be made.
        NotKnownThere
            The archive answers that it does not know the destination.
        Unavailable
            `ledger-failed`: the ledger is away.
        """
        before = held_of(self.ledger, study_uid)
        associated = False
        try:
            with self.peer.inquiring(moving=True) as inquiry:
                associated = True
                wanted = self._wanted(inquiry, study_uid)
                if not wanted:
                    return Outcome(Fate.EMPTY)
                lacking = {
                    one.series_uid: images for one, images in wanted if _lacks(one, images, before.get(one.series_uid))
                }
                if not lacking:
                    return Outcome(Fate.HELD)
                faults = self._move(inquiry, study_uid, lacking, on_progress)
        except Unavailable as error:
            if not associated:
                raise Away(error.code, error.detail) from error
            if error.code is Outage.LEDGER_FAILED:
                raise
            return Outcome(Fate.FAILED, self._came(study_uid, before), error.detail)
        missing = self._await(study_uid, lacking, 0.0 if faults else ARRIVAL_PATIENCE_S)
        came = self._came(study_uid, before)
        if missing:
            faults = [*faults, f"{missing} of {sum(len(images) for _, images in wanted)} CT images did not come"]
            return Outcome(Fate.FAILED, came, "; ".join(dict.fromkeys(faults)))
        if faults and not all(lacking.values()):  # a series whose images it did not list: its word is all there is
            return Outcome(Fate.FAILED, came, "; ".join(dict.fromkeys(faults)))
        return Outcome(Fate.FETCHED, came)

    def _wanted(self, inquiry: Inquiry, study_uid: str) -> list[tuple[Series, set[str]]]:
        """Return the CT series of a study with their images; a series of which none is listed has none here."""
        wanted = []
        for series in ct_series(inquiry, study_uid):
            keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series.series_uid}
            listed = inquiry.find("IMAGE", keys | {"SOPInstanceUID": "", "SOPClassUID": ""})
            images = {str(one.SOPInstanceUID) for one in listed if "SOPInstanceUID" in one and _may_be_ct_image(one)}
            if images or not listed:
                wanted.append((series, images))
        return wanted

    def _move(
        self, inquiry: Inquiry, study_uid: str, lacking: Mapping[str, set[str]], on_progress: OnProgress | None
    ) -> list[str]:
        """Have the series sent; return what went wrong with them."""
        faults: list[str] = []
        for series_uid in lacking:
            if self.stop.is_set():
                return [*faults, "stopped"]
            keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
            destination = self.peer.calling_ae_title
            moved = inquiry.move("SERIES", keys, destination, on_progress=on_progress, stop=self.stop)
            if moved.status == DESTINATION_UNKNOWN:
                raise NotKnownThere(
                    f"{self.peer.ae_title} does not know {destination}, or cannot reach it: its administrator has to "
                    f"enter the AE title {destination} with the address of this machine and port {self.port} as a "
                    "destination of C-MOVE, and crlm-node listen has to run there"
                )
            if moved.fault:
                faults.append(moved.fault)
            if moved.status is None:  # the association is gone
                if not (moved.silent or moved.completed):
                    faults.append(f"an Orthanc does so where {destination} is none of its modalities")
                break
        return faults

    def _await(self, study_uid: str, lacking: Mapping[str, set[str]], patience_s: float) -> int:
        """Wait while more comes, each time so long at most; return how many images are missing."""
        before, since = -1, time.monotonic()
        while True:
            held = held_of(self.ledger, study_uid)
            missing = sum(len(images - held.get(uid, set())) for uid, images in lacking.items())
            if missing != before:
                before, since = missing, time.monotonic()
            if not missing or self.stop.is_set() or time.monotonic() - since >= patience_s:
                return missing
            time.sleep(_LOOK_S)

    def _came(self, study_uid: str, before: Mapping[str, set[str]]) -> int:
        held = held_of(self.ledger, study_uid)
        return sum(len(images - before.get(uid, set())) for uid, images in held.items())


def _lacks(series: Series, images: set[str], held: set[str] | None) -> bool:
    """Say whether something of a series is not here: by its images, where they are listed, else by their number."""
    if images:
        return bool(images - (held or set()))
    return series.instances is None or len(held or ()) < series.instances


def _series(answer: Dataset) -> Series:
    count = str(answer.get("NumberOfSeriesRelatedInstances") or "")
    description = str(answer.get("SeriesDescription") or "")
    return Series(str(answer.SeriesInstanceUID), description, int(count) if count.isdecimal() else None)


def _is_ct(answer: Dataset) -> bool:
    """Judge an answer ourselves: an archive may ignore the key."""
    return answer.get("Modality") == _MODALITY and is_uid(str(answer.get("SeriesInstanceUID") or ""))


def _may_be_ct_image(answer: Dataset) -> bool:
    """Say whether an object is a CT image; one of which the archive does not say the class may be."""
    return (answer.get("SOPClassUID") or IMAGE_CLASSES[0]) in IMAGE_CLASSES
