"""The engine: a process of its own that holds warm networks and a device, and that can be killed at any moment.

`Engine` is the side of the worker: it starts the process, asks it, watches its time and its memory, and kills it at a
limit; the next question starts a new one. `main` is the side of the process: it loads a network at the first
question for it and keeps it. Only here and in `workers.segmentation` may torch be imported, and never by the worker
itself. Its temporary files lie in a folder of its own, which goes when it ends, however it ends. What can go wrong:
`Unavailable` with `engine-timeout`, `engine-memory`, `engine-lost`, `device-missing`; and whatever the network says
of its weights.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
from numpy.typing import NDArray

from node.core import log
from node.core.errors import NodeError, NotAnalysable, Unavailable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import Outage
from workers.records import Volume
from workers.segmentation.port import Answer, Network, Order, Way

_log = log.get("engine")
_WATCH_S = 0.2
_GRACE_S = 5.0


@dataclass(frozen=True)
class _Question:
    order: Order
    hu: NDArray[Any]
    geometry: Geometry


@dataclass(frozen=True)
class _Refusal:
    """An error of the process on its way to the worker."""

    kind: type[NodeError]
    code: Any
    detail: str


class Engine:
    """The worker's side of the engine process.

    Parameters
    ----------
    time_limit_s
        For one volume, the loading of weights included.
    memory_limit_mb
        Resident memory of the process and its children.
    log_file
        Where the process writes what its libraries print; None: where this process writes.
    """

    def __init__(self, time_limit_s: float, memory_limit_mb: int, log_file: Path | None = None) -> None:
        self._time_limit_s = time_limit_s
        self._memory_limit_mb = memory_limit_mb
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._scratch: Path | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the engine, if it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def segment(self, order: Order, volume: Volume) -> Answer:
        """Run a network on a volume; one at a time.

        Raises
        ------
        Unavailable
            `engine-timeout`, `engine-memory`, `engine-lost`, `device-missing`.
        NotAnalysable, Untrusted
            What the network says of its weights.
        """
        with self._lock:
            connection = self._running()
            started = monotonic()
            try:
                connection.send(_Question(order, volume.hu, volume.geometry))
                self._await(connection, started)
                reply = connection.recv()
            except (EOFError, BrokenPipeError, ConnectionResetError) as error:
                raise self._lost() from error
            if isinstance(reply, _Refusal):
                self.close()  # what a process once found of device or weights stays with it: the next one looks anew
                raise reply.kind(reply.code, reply.detail)
            _log.info("segmented", way=order.way, seconds=round(monotonic() - started, 1))
        answer: Answer = reply
        return answer

    def close(self) -> None:
        """End the process: told by the end of its connection, killed after a grace."""
        if self._connection:
            self._connection.close()
            self._connection = None
        if self._process:
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._kill()
            self._process = None
        self._sweep()

    def _running(self) -> Connection:
        if self._connection is not None and self.pid is not None:
            return self._connection
        self.close()
        ours, theirs = Pipe()
        self._scratch = Path(tempfile.mkdtemp(prefix="crlm-engine-"))
        output = self._log_file.open("ab") if self._log_file else None
        try:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                # Not `-m`: what the process pickles would then be of `__main__`, which is another module here.
                [sys.executable, "-P", "-c", f"from workers.engine import main; main({theirs.fileno()})"],
                env={**os.environ, "TMPDIR": str(self._scratch)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output or sys.stderr.fileno(),
                stderr=output or sys.stderr.fileno(),
                start_new_session=True,
            )
        finally:
            theirs.close()
            if output:
                output.close()
        self._connection = ours
        return ours

    def _await(self, connection: Connection, started: float) -> None:
        """Wait for the answer while time and memory last."""
        while not connection.poll(_WATCH_S):
            if monotonic() - started > self._time_limit_s:
                self._kill()
                raise Unavailable(Outage.ENGINE_TIMEOUT, f"over {self._time_limit_s:.0f} s")
            if (used := self._memory_mb()) > self._memory_limit_mb:
                self._kill()
                raise Unavailable(Outage.ENGINE_MEMORY, f"{used} MB of {self._memory_limit_mb} MB")

    def _memory_mb(self) -> int:
        if self._process is None:
            return 0
        try:
            process = psutil.Process(self._process.pid)
            family = [process, *process.children(recursive=True)]
            return sum(one.memory_info().rss for one in family) // 2**20
        except psutil.Error:  # it ended while we looked; the connection tells
            return 0

    def _lost(self) -> Unavailable:
        code = self._process.wait(_GRACE_S) if self._process else None
        self.close()
        return Unavailable(Outage.ENGINE_LOST, f"exit code {code}")

    def _kill(self) -> None:
        """Kill the process and its children at once."""
        if self._process is None:
            return
        try:
            family = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.Error:
            family = []
        self._process.kill()
        for child in family:
            if child.is_running():
                child.kill()
        self._process.wait()
        self._sweep()

    def _sweep(self) -> None:
        """Delete what the process has left in its temporary folder."""
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def load(order: Order) -> Network:
    """Make a network; torch is imported here, in the engine process, for the first time.

    Raises
    ------
    NotAnalysable, Untrusted
        Its weights are missing, or are not what their manifest says.
    Unavailable
        `device-missing`.
    """
    if order.way is Way.DEMO:
        from workers.segmentation.demo.network import DemoNetwork

        return DemoNetwork(order.weights)
    _require_device(order.device)
    if order.way is Way.RESIDENT:
        from workers.segmentation.resident import Resident

        return Resident(order.weights, psoas=order.psoas, device=order.device, fast=order.fast, ladder=order.ladder)
    from workers.segmentation.library import TotalSegmentator

    return TotalSegmentator(order.weights, psoas=order.psoas, device=order.device, fast=order.fast)


def _require_device(device: str) -> None:
    """Put a number on the GPU and take it back: where that fails, the library would run on the CPU without a word."""
    if device == "cpu":
        return
    import torch

    try:
        torch.ones(1, device=f"cuda:{device.partition(':')[2] or 0}").item()
    except (AssertionError, RuntimeError) as error:
        raise Unavailable(Outage.DEVICE_MISSING, f"{device}: {type(error).__name__}") from error


def main(handle: int) -> None:
    """Answer questions on the connection until it is closed; then leave no file behind, for the worker may be gone."""
    connection: Connection = Connection(handle)
    networks: dict[Order, Network] = {}
    try:
        while True:
            question: _Question = connection.recv()
            connection.send(_answer(networks, question))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


def _answer(networks: dict[Order, Network], question: _Question) -> Answer | _Refusal:
    try:
        if question.order not in networks:
            networks[question.order] = load(question.order)
        network = networks[question.order]
        regions = network.segment(question.hu, question.geometry)
    except (NotAnalysable, Unavailable, Untrusted) as error:
        return _Refusal(type(error), error.code, error.detail)
    return Answer(network.name, network.finds, dict(regions), network.reduced, network.validation)
