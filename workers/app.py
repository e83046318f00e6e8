"""Celery, and all that is known of it on this side: the tasks by name, a key in, nothing out.

The broker is not trusted with state: messages are acknowledged when they come, and whether there is work to do is
asked of the ledger (leases, `node.core.ledger.jobs`). Prefork is not used: its children are daemonic and may not
start the engine process.
"""

from celery import Celery

from node.core.settings import Settings
from node.core.states import Stage
from workers.tasks import Desk


def make_app(settings: Settings, desk: Desk) -> Celery:
    """Return the Celery application of one worker process."""
    app = Celery("crlm-node", broker=settings.broker)
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_timeout": 10, "socket_connect_timeout": 5},
    )
    app.task(name="crlm.segment")(desk.segment)
    app.task(name="crlm.measure")(desk.measure)
    app.task(name="crlm.deliver")(desk.deliver)
    return app


def run(settings: Settings, desk: Desk, queues: tuple[Stage, ...], concurrency: int) -> None:
    """Serve the queues until the process is told to stop."""
    make_app(settings, desk).worker_main(
        [
            "worker",
            "--queues=" + ",".join(queues),
            f"--concurrency={concurrency}",
            "--pool=threads",
            f"--hostname={'-'.join(queues)}@%h",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )
