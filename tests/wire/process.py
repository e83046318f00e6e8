"""The listener as a process of its own, with limits where it is to be fed malformed files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from node.core.errors import Unavailable
from node.core.ledger import Ledger
from node.core.peer import Peer
from node.core.settings import Settings

from .sender import CALLER

_LIMITED = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
runpy.run_module("node.listen", run_name="__main__")
"""


class ListenerProcess:
    """`python -m node.listen` with a home, a port and one known caller.

    Parameters
    ----------
    home
        A folder; the ledger is made in it.
    port
        A free one.
    memory
        Address space in bytes; None: no limit.
    log
        Name of its log in the home.
    """

    def __init__(self, home: Path, port: int, memory: int | None = None, log: str = "log") -> None:
        self.settings = Settings(home=home, port=port, ae_title="NODE")
        ledger = Ledger(self.settings.ledger)
        ledger.upgrade()
        ledger.close()
        config = home / "config.toml"
        config.write_text(
            f'home = "{home}"\nport = {port}\nae_title = "NODE"\nlog_form = "json"\nlog_level = "debug"\n'
            f'[[calling]]\nae_title = "{CALLER}"\nhosts = ["127.0.0.1"]\n'
        )
        self.log = home / log
        start = ["-m", "node.listen"] if memory is None else ["-c", _LIMITED.format(memory=memory)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *start],
                env={**os.environ, "CRLM_NODE_CONFIG": str(config)},
                stdout=output,
                stderr=output,
            )
        self._wait()

    @property
    def peer(self) -> Peer:
        """Our own client, as the known caller."""
        return Peer("NODE", "127.0.0.1", self.settings.port, CALLER)

    def _wait(self, limit_s: float = 120) -> None:
        until = time.monotonic() + limit_s
        while True:
            try:
                self.peer.echo()
            except Unavailable:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def end(self, number: int = signal.SIGTERM, limit_s: float = 60) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
