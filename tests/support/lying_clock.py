"""A way to a Redis on which its clock goes wrong: a real one behind a proxy that changes its answer to TIME alone."""

import re
import socket
import threading
from contextlib import suppress

_TIME = re.compile(rb"^\*2\r\n\$10\r\n(\d{10})\r\n")


class LyingClock:
    """Passes everything on; answers to TIME are this many seconds ahead."""

    def __init__(self, port: int, ahead_s: int) -> None:
        self._to, self._ahead_s = port, ahead_s
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                theirs, _ = self._server.accept()
                ours = socket.create_connection(("127.0.0.1", self._to))
                for source, target, changes in ((theirs, ours, False), (ours, theirs, True)):
                    threading.Thread(target=self._pass, args=(source, target, changes), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, changes: bool) -> None:
        with suppress(OSError), source, target:
            while content := source.recv(65536):
                target.sendall(_TIME.sub(self._later, content) if changes else content)

    def _later(self, said: re.Match[bytes]) -> bytes:
        return b"*2\r\n$10\r\n%d\r\n" % (int(said[1]) + self._ahead_s)
