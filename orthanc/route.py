"""Auto-route by Orthanc's Python plugin: the CT series of every study that has become stable go to crlm-node.

orthanc.json:  "PythonScript": "/etc/orthanc/route.py",
               "DicomModalities": {"crlm-node": ["CRLM_NODE", "10.0.0.7", 11112]},
               "CrlmNode": {"Modality": "crlm-node"},
               "UserMetadata": {"crlm-node": 4711}

Only CT is sent: our own SEG and SR come back into the same study, and a study that was sent whole would go round.
What is to be sent stands in a metadata entry of the study before it is sent, so that a restart of Orthanc, or a node
that is away for days, loses nothing: every study that is not `sent` is tried again, with a pause that doubles.
Runs inside Orthanc, with its Python and nothing else.
"""

from __future__ import annotations

import heapq
import json
import threading
import time

import orthanc

SETTINGS = json.loads(orthanc.GetConfiguration()).get("CrlmNode", {})
MODALITY = SETTINGS.get("Modality", "crlm-node")
METADATA = "4711"
FIRST_PAUSE_S = float(SETTINGS.get("FirstPause", 5.0))
LONGEST_PAUSE_S = float(SETTINGS.get("LongestPause", 900.0))


class Route:
    """The studies that wait, soonest first, and the thread that sends them."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, str, float]] = []
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        """Take up what an earlier run left unsent."""
        for study in json.loads(orthanc.RestApiGet("/studies")):
            if _state(study) == "waiting":
                self.add(study)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what waits is taken up by the next run."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def add(self, study: str, pause_s: float = 0.0) -> None:
        """Have a study sent after a pause."""
        with self._changed:
            heapq.heappush(self._waiting, (time.monotonic() + pause_s, study, pause_s))
            self._changed.notify()

    def _work(self) -> None:
        while (due := self._next()) is not None:
            study, pause_s = due
            try:
                count = _send(study)
            except orthanc.OrthancException as error:
                pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
                orthanc.LogWarning(f"crlm-node: study {study} not sent ({error}), again in {pause_s:.0f} s")
                if _exists(study):
                    self.add(study, pause_s)
            else:
                orthanc.LogWarning(f"crlm-node: study {study} sent, {count} CT series")

    def _next(self) -> tuple[str, float] | None:
        """Wait for the study whose time has come; None at the end."""
        with self._changed:
            while not self._ended:
                wait_s = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if wait_s is not None and wait_s <= 0:
                    _, study, pause_s = heapq.heappop(self._waiting)
                    return study, pause_s
                self._changed.wait(wait_s)
        return None


def _send(study: str) -> int:
    """Send the CT series of a study and note it; return how many there were."""
    series = [
        one["ID"]
        for one in json.loads(orthanc.RestApiGet(f"/studies/{study}/series"))
        if one["MainDicomTags"].get("Modality") == "CT"
    ]
    if series:
        body = {"Resources": series, "Synchronous": True}
        orthanc.RestApiPost(f"/modalities/{MODALITY}/store", json.dumps(body))
    _note(study, "sent")
    return len(series)


def _note(study: str, state: str) -> None:
    orthanc.RestApiPut(f"/studies/{study}/metadata/{METADATA}", state)


def _state(study: str) -> str:
    try:
        return orthanc.RestApiGet(f"/studies/{study}/metadata/{METADATA}").decode()
    except orthanc.OrthancException:
        return ""


def _exists(study: str) -> bool:
    try:
        orthanc.RestApiGet(f"/studies/{study}")
    except orthanc.OrthancException:
        return False
    return True


ROUTE = Route()


def on_change(change: int, _level: int, resource: str) -> None:
    """Hear of a change in Orthanc; nothing here may take long."""
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        ROUTE.start()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        ROUTE.stop()
    elif change == orthanc.ChangeType.STABLE_STUDY:
        _note(resource, "waiting")
        ROUTE.add(resource)


orthanc.RegisterOnChangeCallback(on_change)
