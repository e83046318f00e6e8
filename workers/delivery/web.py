"""A DICOMweb server as a destination: STOW-RS, then QIDO-RS as the proof (PS3.18 sections 10.5 and 10.6).

One request for each object, so that one that is refused holds up no other. Who is asked, and who is trusted, stands in
the settings (`node.core.dicomweb`).
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from io import BytesIO
from typing import TypeVar

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, dcmread, dcmwrite

from node.core.dicom import PARSER_FAULTS
from node.core.dicomweb import session_of
from node.core.errors import NodeError, Unavailable, Untrusted
from node.core.ledger.tables import Delivery
from node.core.reasons import Outage, StudyRefusal
from node.core.settings import WebDestination
from node.core.spool import digest
from node.core.states import DeliveryState
from workers.delivery.consignment import Consignment, Outcome

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 10.0, 60.0

_NEVER_IN_PIECES = 2**40  # many servers want a Content-Length
_SOP_INSTANCE_UID = "00080018"
_NOT_TAKEN = {  # PS3.18 table I.2-2, PS3.7 annex C
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0xC122: "transfer syntax not supported",
}
_BUSY = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_PHRASES = {int(status): status.phrase.lower() for status in HTTPStatus}
_Answer = TypeVar("_Answer")


def deliver(consignment: Consignment, destination: WebDestination) -> Mapping[str, Outcome]:
    """Return by SOP Instance UID the proof or the error."""
    with session_of(destination) as session:
        client = DICOMwebClient(
            destination.url.rstrip("/"),
            session,
            chunk_size=_NEVER_IN_PIECES,
            timeout=(CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S),
        )
        client.set_http_retry_params(retry=False)  # the ledger has the schedule
        outcomes: dict[str, Outcome] = {}
        for delivery in consignment.due:
            try:
                if delivery.state is DeliveryState.PENDING:
                    _store(client, consignment, delivery)
                outcomes[delivery.sop_instance_uid] = _proof(client, consignment, delivery, destination)
            except NodeError as error:
                outcomes[delivery.sop_instance_uid] = error
        return outcomes


def _store(client: DICOMwebClient, consignment: Consignment, delivery: Delivery) -> None:
    """Store one object by STOW-RS; the status of a request is that of its one object."""
    ds = dcmread(consignment.path(delivery))
    encoded = BytesIO()
    dcmwrite(encoded, ds)  # as the client will
    if digest(encoded.getvalue()) != delivery.digest:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"{delivery.file} is not written as it was read")
    answer = _asked("STOW-RS", lambda: _stored(client, ds, consignment.study_uid))
    failed = answer.get("FailedSOPSequence")
    if failed:
        reason = failed[0].get("FailureReason")
        if reason in _NOT_TAKEN:
            raise Unavailable(Outage.SOP_CLASS_REFUSED, f"STOW-RS: failed, {reason:04X}, {_NOT_TAKEN[reason]}")
        code = f"{reason:04X}" if isinstance(reason, int) else "no reason"
        raise Unavailable(Outage.DESTINATION_REFUSED, f"STOW-RS: failed, {code}")
    warned = any("WarningReason" in item for item in answer.get("ReferencedSOPSequence") or ())
    consignment.mark_sent({delivery.sop_instance_uid: "STOW-RS, with a warning" if warned else "STOW-RS"})


def _stored(client: DICOMwebClient, ds: Dataset, study_uid: str) -> Dataset:
    """Store an object and return what the server says of it.

    A server that stored nothing answers 409, and says why in the data set that comes with it (PS3.18 section 10.5.3).
    """
    try:
        return client.store_instances([ds], study_uid)
    except requests.HTTPError as error:
        if error.response is None or error.response.status_code != HTTPStatus.CONFLICT:
            raise
        try:
            told = Dataset.from_json(error.response.json())
        except (requests.RequestException, *PARSER_FAULTS):
            raise error from None
        if not told.get("FailedSOPSequence"):
            raise
        return told


def _proof(client: DICOMwebClient, consignment: Consignment, delivery: Delivery, destination: WebDestination) -> str:
    """Search for one object by QIDO-RS."""
    uid = delivery.sop_instance_uid
    answers = _asked(
        "QIDO-RS", lambda: client.search_for_instances(consignment.study_uid, search_filters={"SOPInstanceUID": uid})
    )
    if not any(uid in answer.get(_SOP_INSTANCE_UID, {}).get("Value", ()) for answer in answers):
        raise Unavailable(Outage.DESTINATION_LOST, destination.name)
    return f"found by QIDO-RS at {destination.name}"


def _asked(service: str, question: Callable[[], _Answer]) -> _Answer:
    """Return the answer, or raise what a person can act on; a server's own words may name a patient."""
    try:
        return question()
    except requests.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        code = Outage.DESTINATION_UNREACHABLE if status in _BUSY else Outage.DESTINATION_REFUSED
        if service == "STOW-RS" and status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:  # of the one object in the request
            code = Outage.SOP_CLASS_REFUSED
        raise Unavailable(code, f"{service} answered {status}, {_PHRASES.get(status, 'unknown status')}") from error
    except requests.exceptions.SSLError as error:
        raise Unavailable(Outage.DESTINATION_UNREACHABLE, f"{service}: TLS failed") from error
    except requests.Timeout as error:
        raise Unavailable(Outage.DESTINATION_UNREACHABLE, f"{service}: no answer in time") from error
    except requests.ConnectionError as error:
        raise Unavailable(Outage.DESTINATION_UNREACHABLE, f"{service}: no connection") from error
    except (requests.RequestException, *PARSER_FAULTS) as error:
        words = f"an answer that cannot be read ({type(error).__name__})"
        raise Unavailable(Outage.DESTINATION_REFUSED, f"{service}: {words}") from error
