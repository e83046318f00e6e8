"""The process of the page: one port, threads for what looks and orders, and a thread that asks the destinations.

Comes in: settings. Goes out: answers, until SIGTERM or SIGINT. What can go wrong: there is no ledger yet or it has
another schema, the port is taken, the files of TLS cannot be read: it ends with a sentence. Neither addresses nor
bodies of requests are logged, for both may hold patient data.
"""

import threading
from types import FrameType

import uvicorn

from node.core import log, tls
from node.core.ledger import Ledger, audit
from node.core.settings import Settings, address_of
from node.web import echoes
from node.web.application import make
from node.web.live import Pulse

_GRACE_S = 3
_log = log.get("web")


class _Server(uvicorn.Server):
    """Tells those who listen for changes that it ends, so that nobody has to wait for them."""

    def __init__(self, config: uvicorn.Config, pulse: Pulse) -> None:
        super().__init__(config)
        self._pulse = pulse

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End, as a signal says, and at once by a second one; it is not raised again when all is done."""
        del sig, frame
        self._pulse.ended = True
        self.force_exit = self.should_exit
        self.should_exit = True


def run(settings: Settings) -> None:
    """Serve until told to end.

    Raises
    ------
    SchemaMismatch
        There is no ledger of this version's schema.
    WrongTlsFile
        A file of `web_tls` cannot be used.
    """
    ledger = Ledger.of(settings)
    ledger.require_schema()
    app = make(settings, ledger)
    context = tls.page_context(settings.web_tls) if settings.web_tls else None
    config = uvicorn.Config(
        app,
        host=settings.web_host,
        port=settings.web_port,
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_S,
        ssl_context_factory=(lambda *_: context) if context else None,
        limit_concurrency=500,
    )
    ended = threading.Event()
    asking = threading.Thread(target=echoes.keep_asking, args=(ledger, settings, ended), name="echoes", daemon=True)
    try:
        with audit.running(ledger, "web"):
            asking.start()
            _log.info("serves", address=address_of(settings))
            _Server(config, app.state.site.pulse).run()
    finally:
        ended.set()
        ledger.close()
