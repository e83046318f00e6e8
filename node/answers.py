"""The answers to an association's C-STORE requests (stage 1): from a request to an `Offer`, from an error to a status.

In: a `StoreRequest` (`transfer`). Out: one `Offer` for each to the receiver (stage 2), and a `StoreAnswer` back. This
is one of the three doors: nothing that happens behind it ends the listener.
"""

import sys
from collections.abc import Callable
from typing import Any

import structlog
from pynetdicom.association import Association

from node.core import log
from node.core.dicom import is_uid
from node.core.errors import ANSWERS, NodeError
from node.core.offer import Offer, Taken
from node.transfer import StoreAnswer, StoreRequest

_SUCCESS, _UNEXPECTED = 0x0000, 0xC211
_COMMENT_LENGTH = 64  # LO, PS3.5 table 6.2-1


class Answers:
    """Answers what comes over one association.

    Parameters
    ----------
    take
        Takes an instance in, durably; a `NodeError` says why not.
    assoc
        The association.
    association_id, host
        Its name, and where it comes from.
    log
        Its log.
    """

    def __init__(
        self,
        take: Callable[[Offer], Taken],
        assoc: Association,
        association_id: str,
        host: str,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._take, self._assoc, self._id, self._host, self.log = take, assoc, association_id, host, log
        self.counts = dict.fromkeys([*Taken, "refused"], 0)

    def answer(self, request: StoreRequest) -> StoreAnswer:
        """Answer a C-STORE request (PS3.4 section B.2.3, PS3.7 section 9.1.1)."""
        # The instance's UID for the log, if it is one and no text in a UID's place.
        announced = {"instance": request.sop_instance_uid} if is_uid(request.sop_instance_uid) else {}
        try:
            taken = self._take(self._offer(request))
        except NodeError as error:
            self.counts["refused"] += 1
            self.log.warning("not-taken", code=error.code, detail=error.detail, **announced)
            comment = _comment(f"{error.code}: {error.detail or error.code.sentence}")
            return StoreAnswer(ANSWERS[error.code].status, comment)
        except Exception:  # noqa: BLE001 - one of the three doors: the listener outlives any instance
            self.counts["refused"] += 1
            self.log.error("store-failed", **fault(), **announced)  # noqa: TRY400 - a traceback may hold data
            return StoreAnswer(_UNEXPECTED, _comment("internal error, see the log of the node"))
        self.counts[taken] += 1
        return StoreAnswer(_SUCCESS)

    def _offer(self, request: StoreRequest) -> Offer:
        requestor = self._assoc.requestor.primitive
        return Offer(
            association_id=self._id,
            calling_ae_title=str(requestor.calling_ae_title) if requestor else "",
            called_ae_title=str(requestor.called_ae_title) if requestor else "",
            host=self._host,
            abstract_syntax=str(request.context.abstract_syntax),
            transfer_syntax_uid=str(request.context.transfer_syntax[0]),
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            data_set=request.data_set,
        )


def fault() -> dict[str, Any]:
    """Return where the error in hand was raised, without its message, which may hold what a peer sent."""
    error = sys.exception()
    return {"error": type(error).__name__, "where": log.where(error) if error else []}


def _comment(text: str) -> str:
    """Return text as an Error Comment (0000,0902) may hold it."""
    plain = text.encode("ascii", "replace").decode().replace("\\", "/")
    return plain[:_COMMENT_LENGTH].rstrip()
