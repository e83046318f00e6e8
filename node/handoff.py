"""Stage 5, handoff: one keyed job for each content of a study, and the outbox that tells the broker.

Comes in: the choice of stage 4 and the patient's facts. Goes out: a `JobRequest` in the ledger, in one transaction
with the study's move to complete, and later a message by Celery that holds the job's key and nothing else. What can
go wrong: the broker is away (`Unavailable`, broker-unreachable); the ledger then still says what it has to be told.
Next: the workers, which the node knows by the names of their tasks alone.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Connection
from kombu.exceptions import ChannelError, KombuError, OperationalError
from redis.exceptions import RedisError

from node import __version__
from node.content import Choice, StudyContent
from node.core import log
from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries, jobs, queues, studies
from node.core.reasons import Outage, StudyRefusal
from node.core.records import EarlyRefusal, JobRequest, PatientFacts
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import JobState, Stage, StudyState

_log = log.get("handoff")

_TASKS = {stage: f"crlm.{stage}" for stage in Stage}
_SOCKET_TIMEOUT_S = 2.0
_DELIVERIES_AT_ONCE = 32
_MANIFEST = "manifest.json"
_RESULT = "result.json"


def build_request(
    study_instance_uid: str,
    choice: Choice,
    facts: PatientFacts,
    settings: Settings,
    now: datetime,
    refusal: EarlyRefusal | None = None,
    forced: str = "",
) -> JobRequest:
    """Return all that a worker is told about an analysis that is asked for `now`; `forced` is the content's."""
    return JobRequest(
        study_instance_uid=study_instance_uid,
        requested_at=now,
        candidates=choice.candidates,
        left_out=choice.left_out,
        segmentations=choice.segmentations,
        facts=facts,
        imports=settings.imports,
        measurement=settings.measurement,
        engine=_engine(settings),
        version=__version__,
        refusal=refusal,
        forced=forced,
        report=settings.report,
    )


def _engine(settings: Settings) -> str:
    """Say what may segment: the key of a job changes with networks, kind of device, and what their manifests say.

    That is the weights, and what was measured of them, from which intervals come.
    """
    if not settings.networks:
        return "imported"
    weights, demo = (_manifest_digest(folder) for folder in (settings.weights, settings.models / "demo"))
    return f"networks on {settings.device.split(':')[0]}, weights {weights}, demonstration model {demo}"


def _manifest_digest(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / _MANIFEST).read_bytes()).hexdigest()[:12]
    except OSError:
        return "none"


def dated_as_before(request: JobRequest, spool: Spool) -> JobRequest:
    """Return the request with the date of the result that lies in its work folder, if there is one.

    The date is in the objects, whose UIDs come from the key: where the ledger was lost and rebuilt, the same job makes
    the same bytes under the same UIDs once more.
    """
    work = spool.work(request.key)
    if not work.has(_RESULT):
        return request
    try:
        at = datetime.fromisoformat(json.loads(work.read(_RESULT))["study"]["requested_at"])
    except (ValueError, KeyError, TypeError):  # cut or of another form: its objects are made anew
        return request
    return replace(request, requested_at=at)


def priority(content: StudyContent, settings: Settings) -> int:
    """Return STAT where the request of an image says so, or where a peer whose studies are STAT has sent it.

    A study that only peers have sent whose studies are a backfill waits for all others: that its request was urgent is
    long ago.
    """
    stat, backfill = (
        {peer.ae_title for peer in settings.calling if peer.priority == one} for one in ("stat", "backfill")
    )
    headers = [header for one in content.series for header in one.headers]
    if headers and {one.calling_ae_title for one in headers} <= backfill - stat:
        return queues.BACKFILL
    return queues.STAT if any(one.urgent or one.calling_ae_title in stat for one in headers) else queues.ROUTINE


def enter(ledger: Ledger, content: StudyContent, request: JobRequest, urgency: int = queues.ROUTINE) -> None:
    """Complete the study and enter its job, both or neither.

    Nothing happens where the study has changed since `content` was read. A job that is known already (the new
    instances changed nothing that is measured) is not entered again; where it had refused, the study says so again.
    """
    with ledger.transaction() as session:
        complete, cause = StudyState.COMPLETE, f"quiet, {len(content.sop_instance_uids)} instances"
        cause = f"{cause}; by force: {content.forced}" if content.forced else cause
        if not studies.conclude(session, content.study_instance_uid, content.seen, complete, cause):
            return
        job = jobs.enqueue(session, request, urgency)
        known = jobs.current(session, content.study_instance_uid) if job is None else None
        if known is not None and known.state is JobState.REPORTED and known.reason is not None:
            code = next(one for one in StudyRefusal if one == known.reason)
            jobs.show(session, known.study_uid, StudyState.NOT_ANALYSABLE, code, code.sentence)
    _log.info("study-complete", job=job.key if job else request.key, known_before=job is None, priority=urgency)


class Outbox:
    """Tells the broker what the ledger says it has to be told, by turn: first told, then noted.

    Jobs are all told, for a message names no order (`node.core.ledger.queues`). Of deliveries, no more lie in the
    queue than are soon taken: a message that waits longer than a hold is told again, and would pile up.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._lease = timedelta(seconds=settings.lease_s)
        self._app = _producer(settings.broker_url)

    def publish(self) -> int:
        """Tell the broker of each job and delivery that waits in a queue that is not paused; return of how many.

        A message may be told twice (this process ended between the two steps); the lease in the ledger sees to it
        that the work is not done twice.

        Raises
        ------
        Unavailable
            `broker-unreachable`, after at most a few seconds; what was not told stays to be told.
        """
        with self._ledger.transaction() as session:
            waiting_jobs = [(job.key, job.stage, job.attempts) for job in queues.unpublished(session)]
            held_back = queues.is_paused(session, Stage.DELIVER)
            waiting_deliveries = [] if held_back else list(deliveries.waiting(session))
        if not waiting_jobs and not waiting_deliveries:
            return 0
        with self._broker() as connection:
            send = self._sender(connection)
            for key, stage, attempts in waiting_jobs:
                send(stage, key)
                with self._ledger.transaction() as session:
                    queues.mark_published(session, key, stage, attempts)
            room = max(0, _DELIVERIES_AT_ONCE - _queue_length(connection, Stage.DELIVER)) if waiting_deliveries else 0
            for key, destination in waiting_deliveries[:room]:
                send(Stage.DELIVER, key, destination)
                with self._ledger.transaction() as session:
                    deliveries.hold(session, key, destination, self._lease)
        return len(waiting_jobs) + len(waiting_deliveries[:room])

    def forget_lost(self) -> int:
        """Have jobs told again whose message the broker has lost; return how many.

        A message is lost where a job was told of longer ago than a lease, nobody took it, and its queue is empty: a
        worker that is merely busy leaves the queue filled. Where only some messages of a queue were lost, the others
        bring the workers to the jobs whose turn it is, and what is left when the queue is empty is told again.
        Deliveries need none of this: their hold ends by itself.

        Raises
        ------
        Unavailable
            `broker-unreachable`.
        """
        with self._ledger.transaction() as session:
            stages = queues.long_published(session, self._lease)
        if not stages:
            return 0
        with self._broker() as connection:
            empty = [stage for stage in stages if not _queue_length(connection, stage)]
        with self._ledger.transaction() as session:
            return sum(queues.forget_publication(session, stage, self._lease) for stage in empty)

    def _sender(self, connection: Connection) -> Callable[..., None]:
        def send(stage: Stage, *args: str) -> None:
            self._app.send_task(_TASKS[stage], args=args, queue=stage.value, connection=connection, retry=False)
            _log.info("published", task=_TASKS[stage], job=args[0])

        return send

    @contextmanager
    def _broker(self) -> Iterator[Connection]:
        """Open a connection for this round; one that a restart of Redis has broken is never met again."""
        try:
            with self._app.connection_for_write() as connection:
                yield connection
        except (KombuError, OperationalError, RedisError, OSError) as error:
            raise Unavailable(Outage.BROKER_UNREACHABLE, type(error).__name__) from error


def _producer(broker_url: str) -> Celery:
    """Return a Celery application that sends only; short time-outs, no retries: the next round is the retry."""
    app = Celery("crlm-node", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_timeout=_SOCKET_TIMEOUT_S,
        broker_transport_options={
            "socket_timeout": _SOCKET_TIMEOUT_S,
            "socket_connect_timeout": _SOCKET_TIMEOUT_S,
            "retry_on_timeout": False,
            "max_retries": 1,
            "interval_start": 0,
            "connect_retries_timeout": 0.1,  # kombu would knock for as long as one time-out, with pauses
        },
    )
    return app


def _queue_length(connection: Connection, stage: Stage) -> int:
    try:
        channel: Any = connection.default_channel  # its base class in the stubs knows no queues
        return int(channel.queue_declare(queue=stage.value, passive=True).message_count)
    except ChannelError:  # the queue does not exist
        return 0
