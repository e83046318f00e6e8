"""What another application entity's statuses mean, in words that name the cause (PS3.7 annex C, PS3.4 B.2.3 and C.4).

Comes in: the status of a response. Goes out: the error of a failure. A peer's own words may name a patient and are left
out. Who is next: `node.core.peer` and `node.core.query`, which ask.
"""

from pydicom import Dataset

from node.core.errors import Unavailable
from node.core.reasons import Outage

SUCCESS = 0x0000
PENDING = (0xFF00, 0xFF01)
CANCELLED = 0xFE00
WARNINGS = (0x0001, 0x0107, 0x0116, *range(0xB000, 0xC000))
DESTINATION_UNKNOWN = 0xA801

_TOO_MUCH = range(0xA700, 0xA800)
_NOT_TAKEN = (0x0122, 0x0124)  # of a C-STORE: no further attempt will change it
_EVERYWHERE = (
    (range(0x0111, 0x0112), "it holds another object of this SOP Instance UID"),
    (range(0x0117, 0x0118), "invalid object instance"),
    (range(0x0122, 0x0123), "SOP class not supported: a matter of its configuration"),
    (range(0x0124, 0x0125), "not authorised: a matter of its configuration"),
    (_TOO_MUCH, "out of resources"),
    (range(0xA900, 0xAA00), "data set does not match SOP class"),
    (range(0xC000, 0xD000), "cannot understand"),
)
_OF_SERVICE = {
    "C-MOVE": (
        (range(0xA701, 0xA702), "out of resources: it cannot say how many objects there are"),
        (range(0xA702, 0xA703), "out of resources: it could not send the objects to us"),
        (range(DESTINATION_UNKNOWN, DESTINATION_UNKNOWN + 1), "it does not know the destination"),
        (range(0xA900, 0xAA00), "the request does not match its model"),
        (range(0xB000, 0xB001), "some objects were not sent"),
        (range(0xC000, 0xD000), "unable to process"),
        (range(CANCELLED, CANCELLED + 1), "cancelled"),
    ),
}


class TooMuch(Unavailable):
    """The other side has not the resources for what was asked (A7xx); less may go."""


def lost(service: str) -> Unavailable:
    """Return the error of a request that no answer came to."""
    return Unavailable(Outage.DESTINATION_UNREACHABLE, f"the association was lost before {service} was answered")


def unsuccessful(service: str, status: Dataset) -> Unavailable:
    """Return the error for a status that is no success."""
    if "Status" not in status:
        return lost(service)
    code = int(status.Status)
    kind = TooMuch if code in _TOO_MUCH else Unavailable
    never = service == "C-STORE" and code in _NOT_TAKEN
    reason = Outage.SOP_CLASS_REFUSED if never else Outage.DESTINATION_REFUSED
    return kind(reason, f"{service} answered {code:04X}, {meaning(service, code)}")


def meaning(service: str, code: int) -> str:
    """Say what a status that is no success means in a service."""
    known = (*_OF_SERVICE.get(service, ()), *_EVERYWHERE)
    return next((words for codes, words in known if code in codes), "failure")
