"""The audit trail: what is written, that nobody changes it, and the messages that an audit repository reads."""

import os
import pwd
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from sqlalchemy.exc import DatabaseError

from node import audit as reader
from node.core.errors import Unavailable, Untrusted
from node.core.ledger import Ledger, audit, deliveries, jobs, now, studies
from node.core.ledger.audit import AuditEvent, Outcome, Rejection
from node.core.ledger.tables import Audit, Delivery
from node.core.reasons import StudyRefusal
from node.core.records import JobRequest
from node.core.settings import PacsDestination, Settings
from node.core.states import Stage

SETTINGS = Settings(
    ae_title="NODE",
    destinations=(PacsDestination(kind="dicom", name="pacs", ae_title="ARCHIVE", host="192.0.2.9", port=104),),
)
STUDY = "1.2.3"


def _messages(rows: Sequence[Audit]) -> Element:
    return fromstring(reader.as_xml(rows, SETTINGS))  # noqa: S314 - our own words


def _rows(ledger: Ledger) -> list[Audit]:
    with ledger.transaction() as session:
        return list(audit.rows(session))


def _one_of_each(ledger: Ledger) -> None:
    """Write every kind of entry."""
    with ledger.transaction() as session:
        audit.write(session, audit.rejected(Rejection.CALLER_UNKNOWN, calling_ae_title="X", host="::1", detail="said"))
        audit.write(session, audit.commanded("replay", study_uid=STUDY))
        audit.write(session, audit.deleted(study_uid=STUDY, detail="retention"))
        audit.write(session, audit.delivered(Outcome.SUCCESS, destination="pacs", study_uid=STUDY, detail="seg proven"))
        audit.write(session, audit.Entry(AuditEvent.RECEIVED, Outcome.SUCCESS, "SCANNER", "192.0.2.5", STUDY, "3"))
        audit.write(session, audit.queried("OLDPACS", "192.0.2.7", "3 queries, 2 studies"))
        audit.write(session, audit.signed_in("anna", "192.0.2.8"))
        audit.write(session, audit.signed_out("anna", "192.0.2.8"))
        audit.write(session, audit.looked_at(STUDY, "page"))
        audit.write(session, audit.trail_read("0 rows"))
    with audit.running(ledger, "listen"):
        pass


_CHANGES = {
    "sqlite": ("UPDATE {t} SET at = at", "DELETE FROM {t}", "INSERT OR REPLACE INTO {t} SELECT * FROM {t}"),
    "postgresql": ("UPDATE {t} SET at = at", "DELETE FROM {t}", "TRUNCATE {t}"),
}


@pytest.mark.parametrize("table", ["audit", "event"])
def test_a_trail_is_only_added_to(ledger: Ledger, store: Callable[..., list[str]], table: str) -> None:
    """The database itself refuses to change, to remove or to replace a row, whoever asks."""
    store()
    _one_of_each(ledger)
    with ledger.transaction() as session:
        changes = _CHANGES[session.connection().dialect.name]
    for change in changes:
        refusal = pytest.raises((DatabaseError, Unavailable), match=f"{table} is only ever added to")
        with refusal, ledger.transaction() as session:
            session.connection().exec_driver_sql(change.format(t=table))


def test_every_kind_is_written_and_known_again(ledger: Ledger) -> None:
    """Each kind of entry has its own codes and action, and a row tells its kind."""
    _one_of_each(ledger)
    rows = _rows(ledger)
    assert {audit.kind_of(row) for row in rows} == {event.value for event in AuditEvent}
    assert len({(event.value.codes, event.value.action) for event in AuditEvent}) == len(AuditEvent)


def test_a_process_is_audited_from_start_to_stop(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start and stop, with the true account and the version; a process that fails has stopped too."""
    for variable in ("LOGNAME", "USER", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    with pytest.raises(ValueError, match="fault"), audit.running(ledger, "steward"):
        raise ValueError("fault")
    started, stopped = _rows(ledger)
    assert (started.event, stopped.event) == ("110100/110120", "110100/110121")
    assert re.fullmatch(r"steward \d+, version \S+", started.detail)
    assert started.user_id == stopped.user_id == pwd.getpwuid(os.getuid()).pw_name


def test_what_somebody_orders_on_the_page_is_theirs(ledger: Ledger) -> None:
    """By name and address, in the block alone; what comes after is of this process again."""
    with audit.on_behalf_of("anna", "192.0.2.8"):
        audit.note(ledger, audit.commanded("replay", study_uid=STUDY))
    audit.note(ledger, audit.commanded("replay", study_uid=STUDY))
    first, second = _rows(ledger)
    assert (first.user_id, first.host) == ("anna", "192.0.2.8")
    assert second.user_id == pwd.getpwuid(os.getuid()).pw_name


def test_an_association_is_one_row_for_each_study(ledger: Ledger, store: Callable[..., list[str]]) -> None:
    """At its end, with the number of instances that it brought of each; hearing of the end again adds none."""
    store("1.2.3", 3, "a1")
    store("1.2.4", 2, "a1", "1.2.4.1")
    store("1.2.3", 1, "a2", "1.2.3.9")
    assert _rows(ledger) == []
    for _ in range(2):
        with ledger.transaction() as session:
            studies.close_association(session, "a1", "released")
    rows = _rows(ledger)
    assert [(row.study_uid, row.detail) for row in rows] == [
        ("1.2.3", "3 instances, association a1 released"),
        ("1.2.4", "2 instances, association a1 released"),
    ]
    assert {(row.event, row.action, row.user_id, row.host) for row in rows} == {("110104", "C", "SCANNER", "127.0.0.1")}


def test_the_end_of_a_delivery_is_audited(
    ledger: Ledger, store: Callable[..., list[str]], request_of: Callable[..., JobRequest]
) -> None:
    """Proven is a success, failed for good is none, sent is nothing yet; the study is named."""
    store()
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of())
        assert job is not None
        for number, kind in enumerate(("seg", "sr")):
            deliveries.plan(
                session,
                job_key=job.key,
                destination="pacs",
                kind=kind,
                sop_instance_uid=f"2.25.{number}",
                file=f"{kind}.dcm",
                digest="aa",
            )
        seg, sr = (session.get_one(Delivery, (f"2.25.{number}", "pacs")) for number in range(2))
        jobs.take(session, job.key, Stage.SEGMENT, "w1", timedelta(seconds=60))
        jobs.finish(session, job.key, "w1")
        deliveries.mark_sent(session, seg, "status 0000")
        assert list(audit.rows(session)) == []
        deliveries.mark_proven(session, seg, "found by C-FIND")
        schedule = deliveries.Schedule.of(SETTINGS)
        deliveries.try_again(session, sr, Untrusted(StudyRefusal.INPUT_UNTRUSTED, "changed"), schedule)
    proven, failed = _rows(ledger)
    assert (proven.outcome, proven.user_id, proven.study_uid) == (0, "pacs", STUDY)
    assert proven.detail == "seg 2.25.0 proven: found by C-FIND"
    assert (failed.outcome, failed.study_uid) == (8, STUDY)
    assert failed.detail.startswith("sr 2.25.1 failed: ")


def test_what_the_ledger_cannot_take_goes_to_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where the ledger is away, the whole entry is logged and nothing is raised."""
    away = Ledger(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.sqlite'}")
    audit.note(away, audit.rejected(Rejection.CALLER_UNKNOWN, calling_ae_title="X", host="192.0.2.1", detail="said"))
    said = "".join(capfd.readouterr())
    for word in ("audit-not-written", "ledger-failed", "REJECTED", "192.0.2.1", "caller-unknown: said", "X"):
        assert word in said


def test_a_strangers_words_break_no_line(ledger: Ledger) -> None:
    """Control characters in an AE title are replaced, and a long one is cut."""
    entry = audit.rejected(
        Rejection.CALLER_UNKNOWN, calling_ae_title="A\x00\n\x1b[31m" + 200 * "x", host="h", detail=""
    )
    audit.note(ledger, entry)
    (row,) = _rows(ledger)
    assert row.user_id.startswith("A???[31m")
    assert len(row.user_id) == 128
    assert _messages([row]).find(".//ActiveParticipant[@UserID]") is not None


def test_reading_the_trail_is_audited(ledger: Ledger) -> None:
    """Whoever reads it leaves a row, which the next reader sees; what was asked for is what comes."""
    _one_of_each(ledger)
    assert [row.study_uid for row in reader.read(ledger, since=None, study_uid=STUDY)] == [STUDY] * 5
    assert reader.read(ledger, since=now() + timedelta(days=1), study_uid=None) == []
    last = _rows(ledger)[-2:]
    assert [row.event for row in last] == ["110101", "110101"]
    assert last[0].detail == f"5 rows study {STUDY}"


# The schema of PS3.15 section A.5.1.1, as far as our messages use it: attributes with what they may hold, children in
# order with how often they come. `?` may be absent.
_TOKEN, _CODE = ".+", {"csd-code": ".+", "codeSystemName": ".+", "originalText": ".+"}
_SCHEMA: dict[str, tuple[dict[str, str], str]] = {
    "AuditMessage": (
        {},
        "EventIdentification (ActiveParticipant )+AuditSourceIdentification (ParticipantObjectIdentification )*",
    ),
    "EventIdentification": (
        {
            "EventActionCode?": "[CRUDE]",
            "EventDateTime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
            "EventOutcomeIndicator": "0|4|8|12",
        },
        "EventID (EventTypeCode )*(EventOutcomeDescription )?",
    ),
    "ActiveParticipant": (
        {
            "UserID": ".*",
            "UserIsRequestor": "true|false",
            "NetworkAccessPointID?": _TOKEN,
            "NetworkAccessPointTypeCode?": "[1-5]",
        },
        "(RoleIDCode )*",
    ),
    "AuditSourceIdentification": ({"AuditSourceID": _TOKEN}, "(AuditSourceTypeCode )*"),
    "AuditSourceTypeCode": ({"csd-code": "[1-9]"}, ""),
    "ParticipantObjectIdentification": (
        {
            "ParticipantObjectID": _TOKEN,
            "ParticipantObjectTypeCode?": "[1-4]",
            "ParticipantObjectTypeCodeRole?": "[1-9]|1[0-9]|2[0-6]",
        },
        "ParticipantObjectIDTypeCode ParticipantObjectName ",
    ),
    "EventOutcomeDescription": ({}, ""),
    "ParticipantObjectName": ({}, ""),
    **dict.fromkeys(("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode"), (_CODE, "")),
}


def _follows_the_schema(element: Element) -> None:
    attributes, children = _SCHEMA[element.tag]
    allowed = {name.rstrip("?"): pattern for name, pattern in attributes.items()}
    assert set(element.attrib) <= set(allowed)
    assert {name for name in attributes if not name.endswith("?")} <= set(element.attrib)
    for name, value in element.attrib.items():
        assert re.fullmatch(allowed[name], value), (element.tag, name, value)
    assert re.fullmatch(children, "".join(f"{child.tag} " for child in element)), [child.tag for child in element]
    for child in element:
        _follows_the_schema(child)


def test_messages_follow_the_schema_of_dicom(ledger: Ledger) -> None:
    """Each row is one message of PS3.15 section A.5.1: elements, attributes, their order and their values."""
    _one_of_each(ledger)
    rows = _rows(ledger)
    messages = _messages(rows)
    assert len(messages) == len(rows) == len(AuditEvent)
    for message in messages:
        _follows_the_schema(message)


def test_a_message_names_both_sides_and_the_study(ledger: Ledger) -> None:
    """A transfer has a source and a destination, each with its address; what was sent is a study by its UID."""
    _one_of_each(ledger)
    messages = _messages(_rows(ledger))
    transfers = [one for one in messages if one.find("EventIdentification/EventID[@csd-code='110104']") is not None]
    sides = [
        [
            (side.find("RoleIDCode").get("originalText"), side.get("UserID"), side.get("NetworkAccessPointID"))  # type: ignore[union-attr]
            for side in one.iter("ActiveParticipant")
        ]
        for one in transfers
    ]
    (delivered, received) = sides
    assert delivered[1] == ("Destination Role ID", "ARCHIVE", "192.0.2.9")
    assert (delivered[0][:2], received[1][:2]) == (("Source Role ID", "NODE"), ("Destination Role ID", "NODE"))
    assert received[0] == ("Source Role ID", "SCANNER", "192.0.2.5")
    studies_named = [one.find("ParticipantObjectIdentification") for one in transfers]
    assert [one.get("ParticipantObjectID") for one in studies_named if one is not None] == [STUDY, STUDY]


def test_a_query_names_who_was_asked_and_not_for_whom(ledger: Ledger) -> None:
    """We are the source, the archive the destination (PS3.15 section A.5.3.10); no key is told."""
    audit.note(ledger, audit.queried("OLDPACS", "192.0.2.7", "3 queries, 2 studies"))
    (message,) = _messages(_rows(ledger))
    here, there = message.iter("ActiveParticipant")
    assert (here.get("UserID"), here.get("UserIsRequestor")) == ("NODE", "true")
    assert (there.get("UserID"), there.get("NetworkAccessPointID")) == ("OLDPACS", "192.0.2.7")
    (asked,) = message.iter("ParticipantObjectIdentification")
    assert asked.get("ParticipantObjectID") == "1.2.840.10008.5.1.4.1.2.2.1"
    assert message.find(".//ParticipantObjectQuery") is None
