"""The outbox of stage 5: tells the broker of what the ledger says that it has to be told.

Comes in: jobs and deliveries that wait in the ledger. Goes out: messages by Celery that hold a job's key and nothing
else. What can go wrong: the broker is away (`Unavailable`, broker-unreachable); the ledger then still says what it has
to be told. Next: the workers, which the node knows by the names of their tasks alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from celery import Celery
from kombu import Connection
from kombu.exceptions import ChannelError, KombuError, OperationalError
from redis.exceptions import RedisError

from node.core import log
from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries, queues
from node.core.reasons import Outage
from node.core.settings import Settings
from node.core.states import Stage

_log = log.get("handoff")

_TASKS = {stage: f"crlm.{stage}" for stage in Stage}
_SOCKET_TIMEOUT_S = 2.0
_DELIVERIES_AT_ONCE = 32


class Outbox:
    """Tells the broker what the ledger says it has to be told, by turn: first told, then noted.

    Jobs are all told, for a message names no order (`node.core.ledger.queues`). Of deliveries, no more lie in the
    queue than are soon taken: a message that waits longer than a hold is told again, and would pile up.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._lease = timedelta(seconds=settings.lease_s)
        self._app = _producer(settings.broker)

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
