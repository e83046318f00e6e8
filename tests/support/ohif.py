"""A stock OHIF before a running Orthanc: its files and the archive's DICOMweb under one address of the loopback.

The viewer is what deploy/setup/viewer.sh has unpacked, and nothing of it is changed. Its app-config.js is sent with
`orthanc/ohif.js` behind it, which makes its own entry for an Orthanc the data source and gives that the address.
"""

import mimetypes
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from node.servers import Orthanc

VIEWER = Path(__file__).parents[2] / "build" / "viewer"

_HOST = "127.0.0.1"
_DICOMWEB = "/dicom-web"
_ADDRESS = "\n" + (Path(__file__).parents[2] / "orthanc" / "ohif.js").read_text(encoding="utf-8")


@contextmanager
def served(viewer: Path, archive: Orthanc) -> Iterator[str]:
    """Serve the viewer before an archive for the length of a block, and return its address."""
    server = ThreadingHTTPServer((_HOST, 0), _handler(viewer, archive))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(viewer: Path, archive: Orthanc) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One connection of the browser."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            if self.path.startswith(f"{_DICOMWEB}/"):
                self._pass_through()
            else:
                self._send_file(self.path.partition("?")[0])

        def _pass_through(self) -> None:
            # Orthanc makes the addresses in its answers from what it is told of the way here.
            forwarded = f"host={self.headers['Host']};proto=http"
            connection = HTTPConnection(_HOST, archive.http_port, timeout=60)
            with closing(connection):
                headers = {"Accept": self.headers.get("Accept", "*/*"), "Forwarded": forwarded}
                connection.request("GET", self.path, headers=headers)
                answer = connection.getresponse()
                self._answer(answer.status, answer.headers.get("Content-Type", ""), answer.read())

        def _send_file(self, name: str) -> None:
            path = viewer / name.lstrip("/")
            if not path.is_file():  # a page of the one-page application
                path = viewer / "index.html"
            content = path.read_bytes() + (_ADDRESS.encode() if path.name == "app-config.js" else b"")
            self._answer(200, mimetypes.guess_type(path)[0] or "application/octet-stream", content)

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            """Say nothing; what the browser asked for in vain is seen in the browser."""

    return Handler
