"""What tests ask a real Orthanc by HTTP: its own interface, and DICOMweb as a viewer would."""

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from node.servers import Orthanc


@dataclass(frozen=True)
class Archive:
    """The HTTP side of a running Orthanc."""

    server: Orthanc

    def ask(self, path: str, *, method: str = "GET", body: object = None, accept: str = "*/*") -> tuple[str, bytes]:
        """Return content type and body of an answer; an answer that is no success fails the test."""
        connection = HTTPConnection("127.0.0.1", self.server.http_port, timeout=60)
        try:
            connection.request(
                method, path, body=None if body is None else json.dumps(body), headers={"Accept": accept}
            )
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert answer.status in (200, 204), f"{method} {path}: {answer.status} {content[:300]!r}"
        return answer.headers.get("Content-Type", ""), content

    def rest(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        """Return what Orthanc's own interface answers, from JSON."""
        content = self.ask(path, method=method, body=body)[1]
        return json.loads(content) if content else None

    def add(self, path: Path) -> None:
        """Give it a file."""
        connection = HTTPConnection("127.0.0.1", self.server.http_port, timeout=60)
        try:
            connection.request("POST", "/instances", body=path.read_bytes())
            assert connection.getresponse().status == 200
        finally:
            connection.close()

    def clear(self) -> None:
        """Remove everything that it holds."""
        for one in self.rest("/patients"):
            self.rest(f"/patients/{one}", method="DELETE")

    def counts(self) -> dict[str, int]:
        """Return how many patients, studies, series and instances it holds."""
        return {key: value for key, value in self.rest("/statistics").items() if key.startswith("Count")}

    def study_id(self, study_uid: str) -> str:
        """Return Orthanc's own name of the one study with this UID."""
        found = self.rest(
            "/tools/find", method="POST", body={"Level": "Study", "Query": {"StudyInstanceUID": study_uid}}
        )
        assert len(found) == 1, f"{len(found)} studies of this UID"
        return str(found[0])

    def qido(self, path: str) -> list[dict[str, Any]]:
        """Search by QIDO-RS (PS3.18 section 10.6): attributes by tag, in the DICOM JSON model."""
        found: list[dict[str, Any]] = json.loads(self.ask(f"/dicom-web/{path}", accept="application/dicom+json")[1])
        return found

    def wado(self, study_uid: str, series_uid: str, sop_instance_uid: str) -> bytes:
        """Retrieve one instance by WADO-RS (PS3.18 section 10.4), as the DICOM file that it is there."""
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        [part] = self.parts(instance_path(study_uid, series_uid, sop_instance_uid), accept)
        return part

    def parts(self, path: str, accept: str) -> list[bytes]:
        """Return the parts of a multipart answer of DICOMweb."""
        kind, content = self.ask(f"/dicom-web/{path}", accept=accept)
        boundary = kind.partition("boundary=")[2].partition(";")[0].strip('"').encode()
        _, *parts, end = (b"\r\n" + content).split(b"\r\n--" + boundary)
        assert end.startswith(b"--")
        return [part.partition(b"\r\n\r\n")[2] for part in parts]

    def frames(self, path: str, count: int) -> list[bytes]:
        """Retrieve the frames of an instance by WADO-RS, uncompressed, each for itself (PS3.18 section 10.4.1.1.6)."""
        numbers = ",".join(str(number) for number in range(1, count + 1))
        return self.parts(f"{path}/frames/{numbers}", 'multipart/related; type="application/octet-stream"')


def instance_path(study_uid: str, series_uid: str, sop_instance_uid: str) -> str:
    """Return the resource of an instance (PS3.18 section 10.1)."""
    return f"studies/{study_uid}/series/{series_uid}/instances/{sop_instance_uid}"
