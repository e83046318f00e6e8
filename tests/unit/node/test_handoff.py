import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection
from pydicom import Dataset

from node import __version__
from node.content import Choice, Header, StudyContent, gather
from node.core.errors import NotAnalysable, Unavailable
from node.core.ledger import Ledger, deliveries, jobs, queues, studies
from node.core.ledger.moves import move_study
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Job, Study
from node.core.reasons import Outage, StudyRefusal
from node.core.records import Candidate, Instance, JobRequest, LeftOut, PatientFacts, parse
from node.core.settings import CallingPeer, ImportRules, MeasurementSettings, Settings
from node.core.spool import Spool
from node.core.states import JobState, Stage, StudyState
from node.handoff import build_request, dated_as_before, enter, priority
from node.outbox import Outbox

Store = Callable[..., list[str]]
Requests = Callable[..., JobRequest]

LEASE_S = 60.0
AT = datetime.fromisoformat("2026-11-21T12:00:00")
FACTS = PatientFacts(1.75, None, None, None, "F")


@pytest.fixture
def outbox(ledger: Ledger, clock: Any, redis_url: str) -> Outbox:
    del clock
    return Outbox(ledger, Settings(broker_url=redis_url, lease_s=LEASE_S))


@pytest.fixture
def key(ledger: Ledger, clock: Any, store: Store, request_of: Requests) -> str:
    """The key of a job that the broker has to be told of."""
    del clock
    store()
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of())
        assert job is not None
        return job.key


@pytest.fixture
def told(redis_url: str) -> Callable[[str], list[tuple[str, list[str]]]]:
    """Return a function that takes all messages of a queue, as a worker would: task and arguments of each."""

    def take(queue: str) -> list[tuple[str, list[str]]]:
        messages: list[tuple[str, list[str]]] = []
        with Connection(redis_url) as connection, connection.SimpleQueue(queue) as waiting:
            while True:
                try:
                    message = waiting.get(block=False)
                except Empty:
                    return messages
                args, keywords, _ = message.payload
                assert keywords == {}
                messages.append((message.headers["task"], args))
                message.ack()

    return take


def published(ledger: Ledger, key: str) -> bool:
    with ledger.transaction() as session:
        return session.get_one(Job, key).published_at is not None


def plan(ledger: Ledger, key: str, kind: str = "sr", destination: str = "pacs") -> None:
    with ledger.transaction() as session:
        deliveries.plan(
            session,
            job_key=key,
            destination=destination,
            kind=kind,
            sop_instance_uid=f"2.25.{len(kind)}",
            file=f"{kind}.dcm",
            digest="aa",
        )


def test_a_request_holds_all_that_a_worker_is_told() -> None:
    """Choice, facts and the settings that change a number; nothing else of the site."""
    instance = Instance("1.2.3.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", "aa", "x.dcm")
    choice = Choice((Candidate("1.2.3.1", "", "", (instance,)),), (LeftOut("1.2.3.2", "SR", "", "no CT"),), (instance,))
    settings = Settings(
        imports=ImportRules(manufacturers=("QIICR",)),
        measurement=MeasurementSettings(minimum_slices=5),
        models_dir=Path("/no/such/folder"),
    )
    request = build_request("1.2.3", choice, FACTS, settings, AT)
    assert (request.candidates, request.left_out, request.segmentations) == (
        choice.candidates,
        choice.left_out,
        choice.segmentations,
    )
    assert (request.study_instance_uid, request.requested_at, request.facts) == ("1.2.3", AT, FACTS)
    assert (request.imports, request.measurement) == (settings.imports, settings.measurement)
    engine = "networks on cpu, weights none, demonstration model none"
    assert (request.engine, request.version) == (engine, __version__)


def test_a_result_that_outlived_the_ledger_keeps_its_date(tmp_path: Path, request_of: Requests) -> None:
    """The same job makes the same bytes once more; what is no result document is passed over."""
    spool, request = Spool(tmp_path), request_of()
    spool.prepare()
    assert dated_as_before(request, spool) == request
    for content in (b"cut", b"[]", b'{"study": {}}', b'{"study": {"requested_at": 7}}'):
        spool.work(request.key).write("result.json", content)
        assert dated_as_before(request, spool) == request
    at = "2026-01-05T10:15:00"
    spool.work(request.key).write("result.json", json.dumps({"study": {"requested_at": at}}).encode())
    assert dated_as_before(request, spool) == replace(request, requested_at=datetime.fromisoformat(at))


@pytest.mark.parametrize(
    ("attributes", "calling", "urgent"),
    [
        ({}, "SCANNER", False),
        ({}, "EMERGENCY", True),
        ({"RequestedProcedurePriority": lambda index: "STAT" if index == 2 else None}, "SCANNER", True),
        ({"RequestedProcedurePriority": "HIGH"}, "SCANNER", True),
        ({"RequestedProcedurePriority": "ROUTINE"}, "SCANNER", False),
        ({"StudyPriorityID": "HIGH"}, "SCANNER", True),
        ({"StudyPriorityID": "LOW"}, "SCANNER", False),
    ],
)
def test_what_makes_a_study_stat(
    attributes: dict[str, Any],
    calling: str,
    urgent: bool,
    series: Callable[..., list[Dataset]],
    headers_of: Callable[..., list[Header]],
) -> None:
    """The site's word for the sender, or the request of one of its images, as a whole or among its requests."""
    peers = (CallingPeer(ae_title="SCANNER"), CallingPeer(ae_title="EMERGENCY", priority="stat"))
    wanted = queues.STAT if urgent else queues.ROUTINE
    plain = series(count=3, **attributes)
    nested = series(count=3)
    for ds, source in zip(nested, plain, strict=True):
        ds.RequestAttributesSequence = [Dataset()]
        for keyword in attributes:
            if keyword in source:
                setattr(ds.RequestAttributesSequence[0], keyword, source.get(keyword))
    for datasets in (plain, nested):
        content = gather("1.2.3", headers_of(datasets, calling))
        assert priority(content, Settings(calling=peers)) == wanted


def test_what_makes_a_study_a_backfill(
    series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]
) -> None:
    """Only such peers have sent it, however urgent it was once; one slice of another sender makes it today's."""
    peers = (CallingPeer(ae_title="SCANNER"), CallingPeer(ae_title="OLDPACS", priority="backfill"))
    past = headers_of(series(count=3, StudyPriorityID="HIGH"), "OLDPACS")
    today = headers_of(series("1.2.3.2", count=1), "SCANNER")
    for headers, wanted in ((past, queues.BACKFILL), ([*past, *today], queues.STAT), (today, queues.ROUTINE)):
        assert priority(gather("1.2.3", headers), Settings(calling=peers)) == wanted


class TestEnter:
    """The study's move and its job, in one transaction."""

    @pytest.fixture
    def content(
        self, series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]], store: Store
    ) -> StudyContent:
        """Three instances that the ledger holds."""
        uids = store(instances=3)
        return gather("1.2.3", headers_of(series(count=3, SOPInstanceUID=lambda index: uids[index])))

    def test_both_or_neither(self, ledger: Ledger, content: StudyContent, request_of: Requests) -> None:
        """The study is complete and its job waits, with all that the worker is told."""
        enter(ledger, content, request_of())
        with ledger.transaction() as session:
            assert session.get_one(Study, "1.2.3").state is StudyState.COMPLETE
            (job,) = jobs.of_study(session, "1.2.3")
            assert (job.state, job.stage, job.published_at) == (JobState.QUEUED, Stage.SEGMENT, None)
            assert parse(JobRequest, job.request) == request_of()

    def test_a_study_that_grew_is_not_entered(
        self, ledger: Ledger, content: StudyContent, store: Store, request_of: Requests
    ) -> None:
        """A slice that came while the study was read is not left out: the next round reads it too."""
        store(association="a2")
        enter(ledger, content, request_of())
        with ledger.transaction() as session:
            assert session.get_one(Study, "1.2.3").state is StudyState.RECEIVING
            assert jobs.of_study(session, "1.2.3") == []

    def test_the_same_content_again_makes_no_second_job(
        self, ledger: Ledger, content: StudyContent, store: Store, request_of: Requests
    ) -> None:
        """A late instance that changes nothing that is measured completes the study and leaves its job alone."""
        enter(ledger, content, request_of())
        late = store(association="a2")
        series = content.series[0]
        extra = replace(series.headers[0], instance=replace(series.headers[0].instance, sop_instance_uid=late[0]))
        grown = replace(content, series=(replace(series, headers=(*series.headers, extra)),))
        enter(ledger, grown, request_of())
        with ledger.transaction() as session:
            assert session.get_one(Study, "1.2.3").state is StudyState.COMPLETE
            assert [job.state for job in jobs.of_study(session, "1.2.3")] == [JobState.QUEUED]

    def test_haste_reaches_the_job(self, ledger: Ledger, content: StudyContent, request_of: Requests) -> None:
        """Also where the same content comes again with more haste; never the other way."""
        for urgency, wanted in ((queues.ROUTINE, queues.ROUTINE), (queues.STAT, queues.STAT), (queues.ROUTINE, 1)):
            enter(ledger, content, request_of(), urgency)
            with ledger.transaction() as session:
                (job,) = jobs.of_study(session, "1.2.3")
                assert job.priority == wanted
                move_study(session, session.get_one(Study, "1.2.3"), StudyState.RECEIVING, "one more")

    def test_a_refusal_that_is_known_is_shown_again(
        self, ledger: Ledger, content: StudyContent, request_of: Requests, key: str
    ) -> None:
        """An instance that changed nothing does not turn a refused study into one that looks measured."""
        with ledger.transaction() as session:
            jobs.take(session, key, Stage.SEGMENT, "w1", timedelta(seconds=LEASE_S))
            jobs.finish(session, key, "w1", NotAnalysable(StudyRefusal.UNEVEN_SPACING))
            uids = frozenset(row.sop_instance_uid for row in studies.instances_of(session, "1.2.3"))
        header = content.series[0].headers[0]
        headers = tuple(replace(header, instance=replace(header.instance, sop_instance_uid=uid)) for uid in uids)
        whole = replace(content, series=(replace(content.series[0], headers=headers),))
        enter(ledger, whole, request_of())
        with ledger.transaction() as session:
            study = session.get_one(Study, "1.2.3")
            assert (study.state, study.reason) == (StudyState.NOT_ANALYSABLE, StudyRefusal.UNEVEN_SPACING)


def test_a_paused_queue_is_told_nothing(
    outbox: Outbox, ledger: Ledger, key: str, told: Callable[[str], list[tuple[str, list[str]]]]
) -> None:
    """Neither of jobs nor of deliveries; when it goes on, of all of them."""
    plan(ledger, key)
    stages = (Stage.SEGMENT, Stage.DELIVER)
    with ledger.transaction() as session:
        for stage in stages:
            queues.pause(session, stage, "")
    assert outbox.publish() == 0
    with ledger.transaction() as session:
        for stage in stages:
            queues.resume(session, stage)
    assert outbox.publish() == 2
    assert (len(told("segment")), len(told("deliver"))) == (1, 1)


def test_a_stat_study_is_delivered_first(
    outbox: Outbox, ledger: Ledger, key: str, store: Store, request_of: Requests, told: Callable[[str], Any]
) -> None:
    """Its results pass what waits to be delivered, too."""
    plan(ledger, key)
    store("1.2.4", series="1.2.4.1")
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of("1.2.4"), queues.STAT)
        assert job is not None
    plan(ledger, job.key, "seg2")
    outbox.publish()
    assert [args[0] for _, args in told("deliver")] == [job.key, key]


def test_deliveries_do_not_pile_up_in_the_queue(
    outbox: Outbox, ledger: Ledger, clock: Any, key: str, redis_server: Any, told: Callable[[str], Any]
) -> None:
    """However long nobody takes them; what is taken makes room, and all are told in the end."""
    for number in range(100):
        plan(ledger, key, destination=f"pacs-{number}")
    for _ in range(3):
        outbox.publish()
        clock.forward(LEASE_S)
        assert redis_server.client.llen("deliver") == 32
    seen: set[str] = set()
    for _ in range(4):
        taken = {args[1] for _, args in told("deliver")}
        seen |= taken
        with ledger.transaction() as session:
            for row in deliveries.of_job(session, key):
                if row.destination in taken:
                    row.not_before = clock() + timedelta(days=1)
        outbox.publish()
    assert len(seen) == 100


def test_a_job_is_told_by_name_with_its_key_and_nothing_else(
    outbox: Outbox, ledger: Ledger, key: str, told: Callable[[str], Any]
) -> None:
    """The broker carries keys, never truth; once told, the job is not told again."""
    assert outbox.publish() == 1
    assert published(ledger, key)
    assert outbox.publish() == 0
    assert told("segment") == [("crlm.segment", [key])]


def test_each_stage_has_its_queue(outbox: Outbox, ledger: Ledger, key: str, told: Callable[[str], Any]) -> None:
    """A job that waits for its second stage is told to that stage's workers."""
    with ledger.transaction() as session:
        jobs.take(session, key, Stage.SEGMENT, "w1", outbox._lease)
        jobs.advance(session, key, "w1", Stage.MEASURE)
    assert outbox.publish() == 1
    assert told("measure") == [("crlm.measure", [key])]
    assert told("segment") == []


def test_a_delivery_is_told_once_with_its_destination(
    outbox: Outbox, ledger: Ledger, clock: Any, key: str, told: Callable[[str], Any]
) -> None:
    """One message per job and destination, not one per round; told again only when the hold is over."""
    with ledger.transaction() as session:
        jobs.take(session, key, Stage.SEGMENT, "w1", outbox._lease)
        jobs.finish(session, key, "w1")
    for kind, destination in (("seg", "pacs"), ("sr", "pacs"), ("sr", "folder")):
        plan(ledger, key, kind, destination)
    assert outbox.publish() == 2
    assert outbox.publish() == 0
    assert told("deliver") == [("crlm.deliver", [key, "folder"]), ("crlm.deliver", [key, "pacs"])]
    clock.forward(LEASE_S)
    assert outbox.publish() == 2


def test_what_waits_for_its_time_is_not_told(
    outbox: Outbox, ledger: Ledger, clock: Any, key: str, told: Callable[[str], Any]
) -> None:
    """The pause before another attempt is kept by the ledger."""
    with ledger.transaction() as session:
        jobs.take(session, key, Stage.SEGMENT, "w1", outbox._lease)
        patience = Patience(3, outbox._lease, outbox._lease)
        jobs.try_again(session, key, "w1", Unavailable(Outage.WORKER_FAILED), patience)
    assert outbox.publish() == 0
    clock.forward(1.2 * LEASE_S)
    assert outbox.publish() == 1
    assert told("segment") == [("crlm.segment", [key])]


def unreachable(work: Callable[[], Any]) -> float:
    """Assert that the work says that the broker is away, and return the seconds that it took to say so."""
    begin = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        work()
    assert caught.value.code is Outage.BROKER_UNREACHABLE
    return time.monotonic() - begin


def test_without_redis_nothing_is_marked_as_told(
    outbox: Outbox, ledger: Ledger, key: str, redis_server: Any, told: Callable[[str], Any]
) -> None:
    """Redis is killed: the round ends soon with its reason; when it is back the same outbox tells everything."""
    redis_server.stop()
    assert unreachable(outbox.publish) < 1
    assert not published(ledger, key)
    redis_server.start()
    assert outbox.publish() == 1
    assert published(ledger, key)
    assert told("segment") == [("crlm.segment", [key])]


def test_a_redis_that_restarts_between_rounds_is_met_anew(
    outbox: Outbox, ledger: Ledger, key: str, redis_server: Any, request_of: Requests, told: Callable[[str], Any]
) -> None:
    """No connection of the time before the restart is used again."""
    assert outbox.publish() == 1
    redis_server.stop()
    redis_server.start()
    with ledger.transaction() as session:
        job = jobs.enqueue(session, request_of(digest="bb"))
        assert job is not None
    assert outbox.publish() == 1
    assert told("segment") == [("crlm.segment", [job.key])]


def test_a_redis_that_dies_midway_leaves_the_rest_to_be_told(
    outbox: Outbox, ledger: Ledger, key: str, redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the broker took before it died is noted, what it did not take is not."""
    plan(ledger, key)
    send = outbox._app.send_task

    def once(*args: Any, **options: Any) -> Any:
        result = send(*args, **options)
        redis_server.stop()
        return result

    monkeypatch.setattr(outbox._app, "send_task", once)
    unreachable(outbox.publish)
    assert published(ledger, key)
    with ledger.transaction() as session:
        assert deliveries.waiting(session) == [(key, "pacs")]


def test_a_broker_that_does_not_answer_is_not_waited_for(ledger: Ledger, key: str) -> None:
    """Something that accepts connections and says nothing does not stop the steward."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        assert unreachable(Outbox(ledger, Settings(broker_url=url)).publish) < 10
    assert not published(ledger, key)


def test_nothing_to_tell_asks_no_broker(ledger: Ledger, clock: Any, free_port: Callable[[], int]) -> None:
    """An idle node does not knock at Redis each second."""
    outbox = Outbox(ledger, Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0"))
    assert (outbox.publish(), outbox.forget_lost()) == (0, 0)


class TestForgetLost:
    """Flushing Redis loses nothing."""

    def test_some_of_many_messages_are_lost(
        self,
        outbox: Outbox,
        ledger: Ledger,
        clock: Any,
        store: Store,
        request_of: Requests,
        redis_server: Any,
        told: Callable[[str], Any],
    ) -> None:
        """While the queue is not empty its messages bring to the first in turn; the rest is told again after that."""
        keys = []
        for number in range(4):
            store(f"1.3.{number}", series=f"1.3.{number}.1")
            with ledger.transaction() as session:
                job = jobs.enqueue(session, request_of(f"1.3.{number}"))
                assert job is not None
                keys.append(job.key)
            clock.forward(1)
        outbox.publish()
        redis_server.client.ltrim("segment", 0, 1)
        clock.forward(LEASE_S + 1)
        assert outbox.forget_lost() == 0
        messages = told("segment")
        assert len(messages) == 2
        with ledger.transaction() as session:
            taken = [jobs.take(session, args[0], Stage.SEGMENT, "w1", outbox._lease) for _, args in messages]
        assert [job.key for job in taken if job] == keys[:2]
        assert outbox.forget_lost() == 2
        assert outbox.publish() == 2
        assert [args[0] for _, args in told("segment")] == keys[2:]

    def test_a_flushed_message_is_told_again(
        self, outbox: Outbox, clock: Any, key: str, redis_server: Any, told: Callable[[str], Any]
    ) -> None:
        """The queue is empty and nobody took the job for a lease: the broker has lost it."""
        outbox.publish()
        redis_server.client.flushall()
        clock.forward(LEASE_S - 1)
        assert outbox.forget_lost() == 0
        clock.forward(2)
        assert outbox.forget_lost() == 1
        assert outbox.publish() == 1
        assert told("segment") == [("crlm.segment", [key])]

    def test_a_queue_that_is_merely_long_is_left_alone(
        self, outbox: Outbox, clock: Any, key: str, told: Callable[[str], Any]
    ) -> None:
        """A job that waits behind others is not told again each minute: its message is still there."""
        outbox.publish()
        for _ in range(3):
            clock.forward(LEASE_S + 1)
            assert outbox.forget_lost() == 0
            assert outbox.publish() == 0
        assert told("segment") == [("crlm.segment", [key])]

    def test_stages_are_judged_apart(
        self,
        outbox: Outbox,
        ledger: Ledger,
        clock: Any,
        key: str,
        store: Store,
        request_of: Requests,
        redis_server: Any,
    ) -> None:
        """A long queue of one stage does not hide that another stage's messages are lost."""
        with ledger.transaction() as session:
            jobs.take(session, key, Stage.SEGMENT, "w1", outbox._lease)
            jobs.advance(session, key, "w1", Stage.MEASURE)
        store("1.2.4", series="1.2.4.1")
        with ledger.transaction() as session:
            other = jobs.enqueue(session, request_of("1.2.4"))
            assert other is not None
        assert outbox.publish() == 2
        redis_server.client.delete("measure")
        clock.forward(LEASE_S + 1)
        assert outbox.forget_lost() == 1
        assert (published(ledger, key), published(ledger, other.key)) == (False, True)

    def test_without_redis_nothing_is_forgotten(
        self, outbox: Outbox, ledger: Ledger, clock: Any, key: str, redis_server: Any
    ) -> None:
        """An outage is no loss."""
        outbox.publish()
        redis_server.stop()
        clock.forward(LEASE_S + 1)
        unreachable(outbox.forget_lost)
        assert published(ledger, key)
