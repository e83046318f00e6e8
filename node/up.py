"""The processes of one machine, started and kept: listener, steward, a worker for each queue, the page.

Each is `crlm-node` again with another command, so that what `up` runs is what a service manager would run. A process
that ends is started again after a pause, which grows while it ends soon; all are ended together. Output goes to one
file per process.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from node.core import log
from node.core.states import Stage

_log = log.get("up")
_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 60.0
_SOON_S = 60.0  # a process that ends within this time of its start has not served
_GRACE_S = 10.0


def command_lines(config: Path | None, *, web: bool = False) -> dict[str, list[str]]:
    """Return the command of each process by its name; with `web`, the page is one of them."""
    base = [sys.executable, "-P", "-m", "node", *(["--config", str(config)] if config else [])]
    processors = os.cpu_count() or 1
    # The second one reads its series while the first one's is on the device.
    concurrency = {Stage.SEGMENT: 2, Stage.MEASURE: processors, Stage.DELIVER: 1}
    return {
        "steward": [*base, "steward"],
        "listen": [*base, "listen"],
        **({"web": [*base, "web"]} if web else {}),
        **{
            f"worker-{stage}": [*base, "worker", "--queue", stage, "--concurrency", str(count)]
            for stage, count in concurrency.items()
        },
    }


class Crew:
    """A set of processes that live and end together.

    Parameters
    ----------
    commands
        Command line by name.
    log_dir
        Folder of their output, one file each, appended to.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], log_dir: Path) -> None:
        self._commands = dict(commands)
        self._log_dir = log_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started_at: dict[str, float] = {}
        self._rest_until: dict[str, float] = {}
        self._pause_s: dict[str, float] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Process id by name, of those that were running when last looked at."""
        return {name: process.pid for name, process in self._running.items()}

    def start(self) -> None:
        """Start every process."""
        self._log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in self._commands:
            self._start(name)

    def keep(self) -> list[str]:
        """Start again what has ended, not before its pause is over; return the names of what was found ended."""
        ended = [name for name, process in self._running.items() if process.poll() is not None]
        for name in ended:
            code = self._running.pop(name).returncode
            soon = monotonic() - self._started_at[name] < _SOON_S
            pause = min(2 * self._pause_s[name], _LONGEST_PAUSE_S) if soon and name in self._pause_s else _PAUSE_S
            self._pause_s[name] = pause
            self._rest_until[name] = monotonic() + pause
            _log.warning("process-ended", process=name, code=code, said=self.last_words(name), again_in_s=pause)
        for name, until in list(self._rest_until.items()):
            if monotonic() >= until:
                del self._rest_until[name]
                self._start(name)
        return ended

    def stop(self) -> None:
        """End every process: asked first, killed after a grace."""
        self._rest_until.clear()
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        deadline = monotonic() + _GRACE_S
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def serve(self) -> None:
        """Start all and keep them until SIGTERM, SIGINT, or the terminal is closed."""
        told = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: told.set())
        self.start()
        try:
            while not told.wait(1.0):
                self.keep()
        finally:
            self.stop()

    def last_words(self, name: str) -> str:
        """Return the last line that a process has written."""
        lines = (self._log_dir / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "nothing"

    def _start(self, name: str) -> None:
        self._started_at[name] = monotonic()
        with (self._log_dir / f"{name}.log").open("ab") as output:
            # A session of its own: Ctrl-C goes to us, and we end them in order.
            self._running[name] = subprocess.Popen(  # noqa: S603 - our own command line
                self._commands[name], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
