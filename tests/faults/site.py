"""A whole site whose parts can be taken away: the node's own processes, Redis, Orthanc, a small disk, two proxies.

    sender -> proxy -> listener          deliver worker -> proxy -> Orthanc

Each process of the node is started again after it ended, as a service manager does; the home of spool and ledger is a
small file system of its own where this user may mount one.
"""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from node.core.ledger import Ledger
from node.servers import Broker, Orthanc, free_port
from node.up import command_lines

from .proxy import HOST, Proxy

NODE, PACS, SCANNER = "CRLM_NODE", "ORTHANC", "SCANNER"
LEASE_S = 8.0
_RESTART_S = 0.5
_GRACE_S = 15.0
_PATIENCE_S = 120.0
_CONFIG = f"""
home = "{{home}}"
broker_url = "{{broker}}"
ae_title = "{NODE}"
port = {{port}}
networks = false
association_idle_s = 5.0
spool_low_mb = 2
spool_full_mb = 1
quiet_time_s = 1.5
steward_period_s = 0.3
lease_s = {LEASE_S}
attempts = 100
retry_base_s = 0.3
retry_longest_s = 3.0
log_form = "json"

[imports]
ae_titles = ["{SCANNER}"]

[[calling]]
ae_title = "{SCANNER}"

[[calling]]
ae_title = "{PACS}"

[[destinations]]
kind = "dicom"
name = "pacs"
ae_title = "{PACS}"
host = "{HOST}"
port = {{pacs_port}}
"""


class Kept:
    """One process of the node, started again after it ended.

    Parameters
    ----------
    name, command
        Its name, and how it is started.
    output
        File that it writes to, appended to.
    """

    def __init__(self, name: str, command: list[str], output: Path) -> None:
        self.name = name
        self.output = output
        self.ends: Counter[int] = Counter()
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._start_at = 0.0

    def keep(self) -> None:
        """Start it where it does not run and its pause is over."""
        with self._lock:
            if self._process is not None and (code := self._process.poll()) is not None:
                self.ends[code] += 1
                self._process, self._start_at = None, time.monotonic() + _RESTART_S
            if self._process is None and time.monotonic() >= self._start_at:
                with self.output.open("ab") as output:
                    self._process = subprocess.Popen(
                        self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                    )

    def signal(self, number: int) -> bool:
        """Send it a signal; False if it does not run."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                return False
            os.kill(self._process.pid, number)
            return True

    def stop(self) -> None:
        """End it, killed after a grace; ask it first, by SIGTERM."""
        with self._lock:
            if self._process is None:
                return
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class Site:
    """The site; `start` and `stop` it.

    Parameters
    ----------
    root
        A folder for everything.
    disk_mb
        Size of the file system that holds spool and ledger.
    """

    def __init__(self, root: Path, disk_mb: int = 256) -> None:
        self.root = root
        self.disk_mb = disk_mb
        self.home = root / "node"
        self.home.mkdir(mode=0o700, parents=True)
        self.broker = Broker(root / "redis")
        self.listener_port = free_port()
        self.inbound = Proxy(self.listener_port)
        self.orthanc = Orthanc(root / "orthanc", PACS, {NODE: (HOST, self.inbound.port)})
        self.outbound = Proxy(self.orthanc.dicom_port)
        self.config = root / "config.toml"
        self.config.write_text(
            _CONFIG.format(
                home=self.home,
                broker=self.broker.url,
                port=self.listener_port,
                pacs_port=self.outbound.port,
            )
        )
        logs = root / "log"
        logs.mkdir()
        self.kept = {
            name: Kept(name, words, logs / f"{name}.log") for name, words in command_lines(self.config).items()
        }
        self.why_not_mounted = ""
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True, name="keeper")

    @property
    def spool(self) -> Path:
        """Root of the spool."""
        return self.home / "spool"

    @property
    def ledger(self) -> Path:
        """File of the ledger."""
        return self.home / "ledger.sqlite"

    def start(self) -> None:
        """Start everything; raises `CannotStart` where a server is not installed."""
        self._mount()
        for server in (self.broker, self.orthanc):
            server.__enter__()
        for proxy in (self.inbound, self.outbound):
            proxy.start()
        ledger = Ledger(f"sqlite:///{self.ledger}")
        ledger.upgrade()
        ledger.close()
        self._keeper.start()
        self.await_(lambda: all(map(self.serves, self.kept)), "every process serves")

    def stop_node(self) -> None:
        """End the node's own processes; the servers go on."""
        self._over.set()
        if self._keeper.ident is not None:
            self._keeper.join()
        for one in self.kept.values():
            for number in (signal.SIGCONT, signal.SIGTERM):
                one.signal(number)
        for one in self.kept.values():
            one.stop()

    def stop(self) -> None:
        """End everything that was started."""
        self.stop_node()
        self.orthanc.stop()
        self.broker.stop()
        for proxy in (self.inbound, self.outbound):
            proxy.stop()
        if os.path.ismount(self.home):
            subprocess.run(["umount", "--lazy", self.home], check=True)

    def serves(self, name: str, since: int = 0) -> bool:
        """Whether a process has said, after so many bytes of its output, that it serves."""
        try:
            with self.kept[name].output.open("rb") as output:
                output.seek(since)
                said = output.read()
        except FileNotFoundError:
            return False
        return {"listen": b"listening", "steward": b"started"}.get(name, b" ready.") in said

    def kill(self, server: Broker | Orthanc) -> None:
        """Kill -9 a server; its `start` brings it back."""
        process = server._process
        assert process is not None, f"{server.name} does not run"
        process.kill()
        process.wait()
        server._process = None

    def await_(self, condition: Callable[[], bool], what: str, limit_s: float = _PATIENCE_S) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
            time.sleep(0.05)

    def _keep(self) -> None:
        while not self._over.wait(0.1):
            for one in self.kept.values():
                one.keep()

    def _mount(self) -> None:
        """Put the home on a small file system of its own, where this user may."""
        if os.geteuid() != 0:
            self.why_not_mounted = "only root may mount a small file system"
            return
        options = f"size={self.disk_mb}m,mode=0700"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "crlm-faults", self.home],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            self.why_not_mounted = f"mount: {done.stderr.strip()}"
