"""The audit trail for readers: as a table, or as the messages of PS3.15 section A.5 for an audit repository.

Comes in: rows of the ledger (`node.core.ledger.audit`). Goes out: XML that follows the schema of section A.5.1, one
message for each row. What the schema allows and no row holds is left out: patients above all, whom the trail does not
name. Reading the trail is itself a row of it.
"""

import ipaddress
import socket
from collections.abc import Iterable
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from node.core.ledger import Ledger, audit
from node.core.ledger.audit import AuditEvent
from node.core.ledger.tables import Audit
from node.core.settings import PacsDestination, Settings

_DCM = "DCM"
_APPLICATION = ("110150", "Application")
_DESTINATION, _SOURCE = ("110152", "Destination Role ID"), ("110153", "Source Role ID")
_STUDY = ("110180", "Study Instance UID")
_SOP_CLASS = ("110181", "SOP Class UID")
_NODE = ("110182", "Node ID")
_URI = ("12", "URI")
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MACHINE_NAME, _IP_ADDRESS = "1", "2"
_APPLICATION_SERVER = "4"
_REPORT, _SECURITY_RESOURCE = "3", "13"


def read(ledger: Ledger, *, since: datetime | None, study_uid: str | None) -> list[Audit]:
    """Return the trail, oldest first, and note that it was read."""
    asked = [f"since {since.isoformat(timespec='seconds')}"] if since else []
    asked += [f"study {study_uid}"] if study_uid else []
    with ledger.transaction() as session:
        found = list(audit.rows(session, since=since, study_uid=study_uid))
        audit.write(session, audit.trail_read(f"{len(found)} rows {' '.join(asked)}".rstrip()))
    return found


def as_xml(rows: Iterable[Audit], settings: Settings) -> str:
    """Return one `AuditMessage` for each row, in an element that holds them all."""
    trail = Element("AuditTrail")
    trail.extend(_message(row, settings) for row in rows)
    indent(trail)
    return tostring(trail, encoding="unicode")


def _message(row: Audit, settings: Settings) -> Element:
    message = Element("AuditMessage")
    _identify(message, row)
    _name_participants(message, row, settings)
    source = SubElement(message, "AuditSourceIdentification", AuditSourceID=settings.ae_title)
    SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    if row.study_uid:
        _name_object(message, row.study_uid, _STUDY, _REPORT)
    elif row.event.startswith("110113"):
        _name_object(message, row.host, _NODE, _SECURITY_RESOURCE)
    elif row.event == AuditEvent.QUERIED.value.codes:
        _name_object(message, _STUDY_ROOT_FIND, _SOP_CLASS, _REPORT)
    elif row.event == AuditEvent.TRAIL_READ.value.codes:
        _name_object(message, "audit", _URI, _SECURITY_RESOURCE)
    return message


def _identify(message: Element, row: Audit) -> None:
    """Say what happened (A.5.2, Event Identification)."""
    kind = audit.kind_of(row)
    code, _, type_code = kind.codes.partition("/")
    event = SubElement(
        message,
        "EventIdentification",
        EventActionCode=row.action,
        EventDateTime=row.at.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        EventOutcomeIndicator=str(row.outcome),
    )
    _code(event, "EventID", code, kind.meaning)
    if type_code:
        _code(event, "EventTypeCode", type_code, kind.type_meaning)
    SubElement(event, "EventOutcomeDescription").text = row.detail


def _name_participants(message: Element, row: Audit, settings: Settings) -> None:
    """Say who took part (A.5.2, Active Participant): the other side, and we."""
    kind = audit.kind_of(row)
    here = (settings.ae_title, socket.gethostname())
    there = _destination(row, settings) or (row.user_id or row.host, row.host)
    if kind is AuditEvent.RECEIVED.value:
        _participant(message, *there, _SOURCE, asks=True)
        _participant(message, *here, _DESTINATION, asks=False)
    elif kind in (AuditEvent.DELIVERED.value, AuditEvent.QUERIED.value):
        _participant(message, *here, _SOURCE, asks=True)
        _participant(message, *there, _DESTINATION, asks=False)
    else:
        _participant(message, *here, _APPLICATION, asks=False)
        _participant(message, *there, None, asks=True)


def _destination(row: Audit, settings: Settings) -> tuple[str, str] | None:
    """Return AE title and host of the PACS that a row names as the settings do, if it is still there."""
    named = (one for one in settings.destinations if isinstance(one, PacsDestination) and one.name == row.user_id)
    found = next(named, None) if audit.kind_of(row) is AuditEvent.DELIVERED.value else None
    return (found.ae_title, found.host) if found else None


def _participant(message: Element, user_id: str, host: str, role: tuple[str, str] | None, *, asks: bool) -> None:
    where = {}
    if host:
        kind = _IP_ADDRESS if _is_address(host) else _MACHINE_NAME
        where = {"NetworkAccessPointID": host, "NetworkAccessPointTypeCode": kind}
    asking = "true" if asks else "false"
    participant = SubElement(message, "ActiveParticipant", {"UserID": user_id, "UserIsRequestor": asking, **where})
    if role is not None:
        _code(participant, "RoleIDCode", *role)


def _name_object(message: Element, identifier: str, kind: tuple[str, str], role: str) -> None:
    """Say what it was about (A.5.2, Participant Object): a system object in this role."""
    described = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=identifier,
        ParticipantObjectTypeCode="2",
        ParticipantObjectTypeCodeRole=role,
    )
    _code(described, "ParticipantObjectIDTypeCode", *kind, system="RFC-3881" if kind is _URI else _DCM)
    SubElement(described, "ParticipantObjectName").text = identifier


def _code(parent: Element, name: str, value: str, meaning: str, system: str = _DCM) -> None:
    SubElement(parent, name, {"csd-code": value, "codeSystemName": system, "originalText": meaning})


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
