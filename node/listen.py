"""The listener process: settings -> spool, ledger, intake, door; runs until SIGTERM or SIGINT.

Stages 1 and 2 meet here and nowhere else. Several listeners may run: they share the port (SO_REUSEPORT).
"""

import gc
import os
import signal
import threading

from node.association import Door
from node.commitment import Reports
from node.contexts import wants_reports
from node.core import log, settings
from node.core.ledger import Ledger, audit
from node.core.ledger.deliveries import Schedule
from node.core.settings import Settings
from node.core.spool import OWNER_ALONE, Spool
from node.intake import Intake
from node.rejections import Rejections
from node.room import Room


class Listener:
    """Stages 1 and 2, put together.

    Parameters
    ----------
    config
        The site's settings.
    """

    def __init__(self, config: Settings) -> None:
        self._spool = Spool(config.spool_dir)
        self.ledger = Ledger.of(config)
        self._rejections = Rejections(self.ledger)
        self.door = Door(
            config,
            Intake(self._spool, self.ledger, Room(config.spool_dir, config)),
            self._rejections,
            _reports(config, self.ledger),
        )

    def start(self) -> None:
        """Listen, in threads of its own.

        Raises
        ------
        Unavailable
            `spool-failed`, `ledger-failed`.
        SchemaMismatch
            The ledger was not made, or not migrated, by the steward of this version.
        CannotListen
            The address is taken or not ours.
        WrongTlsFile
            A file of the TLS settings cannot be used.
        """
        self._spool.prepare()
        self.ledger.require_schema()
        self.door.open()
        self._rejections.start()

    def stop(self) -> None:
        """Stop listening, end the associations, close the ledger."""
        self.door.close()
        self._rejections.stop()
        self.ledger.close()


def _reports(config: Settings, ledger: Ledger) -> Reports | None:
    """Return who takes in reports of storage commitment, where a destination is asked for it."""
    return Reports(ledger, Schedule.of(config)) if wants_reports(config) else None


def _note_thread_death(fault: threading.ExceptHookArgs) -> None:
    """Log a thread that died, which ends one association; its message may hold what a peer sent."""
    places = log.where(fault.exc_value) if fault.exc_value else []
    log.get("listen").warning("thread-died", error=fault.exc_type.__name__, where=places)


def run(config: Settings) -> None:
    """Listen until SIGTERM or SIGINT; raises what `Listener.start` raises."""
    log.configure(config.log_level, config.log_form)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    threading.excepthook = _note_thread_death
    listener = Listener(config)
    listener.start()
    gc.freeze()  # what is there now stays: looking through it again and again would hold up all associations
    try:
        with audit.running(listener.ledger, "listen"):
            stopped.wait()
    finally:
        listener.stop()


if __name__ == "__main__":
    os.umask(OWNER_ALONE)
    run(settings.load())
