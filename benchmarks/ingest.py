"""How fast slices become durable: ours beside DCMTK's storescp and Orthanc, over 1, 4 and 16 associations.

Each peer is set as its own users would set it for speed. What an answer promises differs: ours has the file and its
folder synchronised to the disk and its row in the ledger committed; Orthanc synchronises the file (its default), and
its index later; storescp synchronises nothing. Rounds are interleaved, so that what else the machine does meets all.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from results import Result, arguments, machine, table, table_of, write
from sender import Run, run

from node.core.ledger import Ledger
from node.core.settings import Settings

ASSOCIATIONS = (1, 4, 16)
BAR_SLICES_PER_S, BAR_ORTHANC, BAR_STORESCP = 150.0, 1.5, 1.0
_TUNED = {**os.environ, "TCP_NODELAY": "1", "TCP_BUFFER_LENGTH": "1048576"}


@dataclass
class Server:
    """A receiver in a folder of its own."""

    folder: Path
    name = ""
    port: int = 0

    def command(self) -> list[str]:
        """Return the command line, after writing what it needs."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self.folder.mkdir()
        self.port = _free_port()
        command = self.command()
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=_TUNED)  # noqa: S603 - our own lines
        until = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} did not start: {(self.folder / 'log').read_text()[-500:]}")

    def cpu_s(self) -> float:
        """Return the processor time that it and its children, living and ended, have used."""
        times = [one.cpu_times() for one in (psutil.Process(self.process.pid),)]
        return sum(one.user + one.system + one.children_user + one.children_system for one in times)

    def stop(self) -> None:
        """End it and free the space of what it stored; the empty files are removed at the end of all.

        ext4 without a journal looks through what was deleted in the last minutes before it gives out an inode: whoever
        came next would pay for it.
        """
        self.process.terminate()
        self.process.wait(30)
        for path in self.folder.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)


class Ours(Server):
    """The listener, with its default settings."""

    name = "ours"

    def command(self) -> list[str]:
        """Make the ledger and the settings; the steward is not part of intake."""
        settings = Settings(home=self.folder)
        ledger = Ledger(settings.ledger)
        ledger.upgrade()
        ledger.close()
        config = self.folder / "config.toml"
        config.write_text(
            f'home = "{self.folder}"\nport = {self.port}\nae_title = "PEER"\nspool_low_mb = 0\nspool_full_mb = 0\n'
            'log_level = "warning"\n[[calling]]\nae_title = "BENCH"\n'
        )
        return [sys.executable, "-P", "-m", "node", "--config", str(config), "listen"]


class Storescp(Server):
    """DCMTK's storescp: largest PDU, bytes written as they come, one process for each association."""

    name = "storescp"

    def command(self) -> list[str]:
        """Return the command line."""
        options = ["+B", "--fork", "-pdu", "131072", "-dhl", "-aet", "PEER", "-od", str(self.folder)]
        return ["storescp", *options, str(self.port)]


class Orthanc(Server):
    """Orthanc: largest PDU, no plugins, as many threads as associations; its durability left as it comes."""

    name = "Orthanc"

    def command(self) -> list[str]:
        """Write the configuration."""
        config = self.folder / "orthanc.json"
        values = {
            "StorageDirectory": str(self.folder / "storage"),
            "HttpServerEnabled": False,
            "DicomAet": "PEER",
            "DicomPort": self.port,
            "DicomAlwaysAllowStore": True,
            "DicomThreadsCount": 16,
            "MaximumPduLength": 131072,
            "TcpNoDelay": True,
            "MetricsEnabled": False,
            "SaveJobs": False,
            "StorageCompression": False,
            "MaximumStorageCacheSize": 0,
            "Plugins": [],
        }
        config.write_text(json.dumps(values))
        return [shutil.which("Orthanc") or "/usr/sbin/Orthanc", str(config)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Figures:
    """Medians of one server at one number of associations."""

    slices_per_s: float
    mb_per_s: float
    p99_ms: float
    server_cpu_ms: float
    sender_cpu_ms: float


def measure(rounds: int, slices: int, root: Path) -> dict[tuple[str, int], Figures]:
    """Run all servers in turn, round by round; each starts empty in each round."""
    seen: dict[tuple[str, int], list[tuple[Run, float]]] = {}
    for number in range(rounds + 1):  # the first warms the machine up and is not counted
        for kind in (Ours, Storescp, Orthanc):
            server = kind(root / f"{kind.name}{number}")
            server.start()
            try:
                run(server.port, "PEER", 1, 8, 10**12)
                for place, associations in enumerate(ASSOCIATIONS):
                    before = server.cpu_s()
                    # storescp may name files by UID: numbers differ between all runs
                    found = run(server.port, "PEER", associations, slices, (place + 1) * 10**9)
                    cpu = (server.cpu_s() - before) * 1000 / slices
                    if number or rounds == 1:
                        seen.setdefault((kind.name, associations), []).append((found, cpu))
            finally:
                server.stop()
            print(f"round {number} {kind.name}: load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return {case: _medians(found) for case, found in seen.items()}


def _medians(found: list[tuple[Run, float]]) -> Figures:
    runs = [one for one, _ in found]
    return Figures(
        statistics.median(one.slices_per_s for one in runs),
        statistics.median(one.mb_per_s for one in runs),
        statistics.median(one.p99_ms for one in runs),
        statistics.median(cpu for _, cpu in found),
        statistics.median(one.sender_cpu_ms for one in runs),
    )


def results(figures: dict[tuple[str, int], Figures]) -> list[Result]:
    """Return ours beside each peer; bars stand at 4 associations."""
    made = []
    for associations in ASSOCIATIONS:
        ours = figures["ours", associations]
        bars = {"Orthanc": BAR_ORTHANC, "storescp": BAR_STORESCP} if associations == 4 else {}
        for name in ("Orthanc", "storescp"):
            peer = figures[name, associations]
            case = f"{associations} association{'s' if associations > 1 else ''}"
            throughput = ours.slices_per_s, peer.slices_per_s
            made += [
                Result(case, *throughput, name, "slices/s", throughput[0] / throughput[1], bars.get(name)),
                Result(f"{case}, p99", ours.p99_ms, peer.p99_ms, name, "ms", peer.p99_ms / ours.p99_ms, None),
            ]
    ours = figures["ours", 4]
    share = ours.slices_per_s / BAR_SLICES_PER_S
    made.append(Result("4 associations", ours.slices_per_s, BAR_SLICES_PER_S, "a fixed bar", "slices/s", share, 1.0))
    return made


def main() -> int:
    """Measure, print, write."""
    asked = arguments(__doc__.partition("\n")[0])
    where = machine()
    rounds, slices = (1, 64) if asked.quick else (5, 480)
    with tempfile.TemporaryDirectory(prefix="ingest-") as root:
        figures = measure(rounds, slices, Path(root))
    head = ("receiver", "associations", "slices/s", "MB/s", "p99 ms", "receiver CPU ms/slice", "sender CPU ms/slice")
    rows = [
        (name, str(count), *(f"{value:.1f}" for value in vars(one).values())) for (name, count), one in figures.items()
    ]
    found = results(figures)
    where["load_after"] = round(os.getloadavg()[0], 2)
    print(", ".join(f"{key} {value}" for key, value in where.items()), table([head, *rows]), sep="\n\n", end="\n\n")
    print(table_of(found))
    if asked.json:
        write(asked.json, where, found)
    return 0 if all(result.holds for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
