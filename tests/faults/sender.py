"""A modality: it sends studies, notes what was answered 0x0000, and sends the rest again until it is.

Its log is written durably before it goes on, and knows nothing of the node but its answers.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from node.core.requestor import bounded, reactor_parked, without_delay

from .material import Form, Item, Material
from .proxy import HOST
from .site import NODE, SCANNER

_CONNECT_S, _ANSWER_S = 3.0, 8.0
_REST_S = (0.1, 0.6)
_SUCCESS, _OUT_OF_RESOURCES = 0x0000, range(0xA700, 0xA800)
_CONTEXTS = [build_context(one, ExplicitVRLittleEndian) for one in (CTImageStorage, SegmentationStorage)]
_config.STORE_SEND_CHUNKED_DATASET = True  # the bytes of the file, as they are


@dataclass(frozen=True)
class Acknowledged:
    """An instance that was answered 0x0000: SHA-256 of the data set that was sent."""

    study_uid: str
    sop_instance_uid: str
    is_slice: bool
    digest: str


class Log:
    """What was acknowledged, one JSON object per line, on disk before the next instance is sent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def add(self, one: Acknowledged) -> None:
        """Note an acknowledgement durably."""
        with self._lock:
            self._file.write(json.dumps(asdict(one)) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def read(self) -> list[Acknowledged]:
        """Return all that was noted, each instance once."""
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return list(dict.fromkeys(Acknowledged(**json.loads(line)) for line in lines))


class Sender:
    """Sends studies; used by one thread."""

    def __init__(self, port: int, log: Log, seed: int) -> None:
        self._port = port
        self._log = log
        self._random = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self.statuses: Counter[int] = Counter()
        self.associations = self.broken = 0

    def send(self, study: Material, until: threading.Event) -> bool:
        """Send a study until each instance was answered 0x0000; False if told to stop before.

        A modality that lost an association may send everything again, also what was acknowledged.
        """
        waiting = list(study.items)
        while waiting:
            if until.is_set():
                return False
            done = self._try(study, waiting)
            waiting = [one for one in waiting if one not in done]
            if waiting:
                self.broken += 1
                if self._random.random() < 0.2:
                    waiting = list(study.items)
                time.sleep(self._random.uniform(*_REST_S))
        return True

    def _try(self, study: Material, items: list[Item]) -> set[Item]:
        """Send what one association takes; return what was answered 0x0000."""
        self.associations += 1
        ae = AE(SCANNER)
        ae.connection_timeout = _CONNECT_S
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = _ANSWER_S
        done: set[Item] = set()
        try:
            assoc = ae.associate(HOST, self._port, _CONTEXTS, NODE, evt_handlers=[(evt.EVT_CONN_OPEN, bounded)])
        except (OSError, RuntimeError):
            return done
        if assoc.is_established:
            without_delay(assoc)
            # Its own thread would take answers that we wait for; and the release must not wait for one that has ended.
            with reactor_parked(assoc):
                for item in items:
                    if not self._store(assoc, study, item, done):
                        break
                assoc.release()
        return done

    def _store(self, assoc: Association, study: Material, item: Item, done: set[Item]) -> bool:
        """Send one instance; False where the association is of no more use."""
        if not assoc.is_established:
            return False
        try:
            answer = assoc.send_c_store(item.path)
        except (OSError, RuntimeError, ValueError, AttributeError):  # it broke while pynetdicom wrote
            return False
        if "Status" not in answer:
            return False
        self.statuses[status := int(answer.Status)] += 1
        if status == _SUCCESS:
            self._log.add(Acknowledged(study.uid, item.sop_instance_uid, item.is_slice, item.digest))
            done.add(item)
        return status == _SUCCESS

    @property
    def refusals(self) -> Counter[int]:
        """Statuses that tell a modality to give up: none of what is sent here deserves one."""
        return Counter(
            {code: count for code, count in self.statuses.items() if code != _SUCCESS and code not in _OUT_OF_RESOURCES}
        )


def forms(seed: int) -> list[Form]:
    """Return the order of forms of a seed, to be repeated: measured, refused and too small."""
    order = [Form.MEASURED] * 3 + [Form.REFUSED] * 4 + [Form.FEW]
    random.Random(seed).shuffle(order)  # noqa: S311 - chance that can be repeated
    return order
