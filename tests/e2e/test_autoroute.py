"""An Orthanc in front of the node sends it every CT study by itself, by either of the scripts in `orthanc/`."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from archive import Archive
from pydicom import dcmread

from node.core.errors import Unavailable
from node.core.peer import Peer
from node.servers import Orthanc, free_port

from .conftest import Sent
from .stack import HOST, NODE, SCANNER, Stack

SCRIPTS = Path(__file__).parents[2] / "orthanc"
PYTHON_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancPython.so")


class RoutingOrthanc(Orthanc):
    """An Orthanc that routes by one of the scripts."""

    def __init__(self, folder: Path, script: Path, port: int) -> None:
        super().__init__(folder, SCANNER, {NODE: (HOST, port)})
        self._script = script

    def configuration(self) -> dict[str, object]:
        """Return its settings, with the script's own."""
        lua = self._script.suffix == ".lua"
        return {
            **super().configuration(),
            **({"LuaScripts": [str(self._script)]} if lua else {"PythonScript": str(self._script)}),
            "CrlmNode": {"Modality": NODE, "FirstPause": 1.0, "LongestPause": 2.0},
            "UserMetadata": {"crlm-node": 4711},
            "StableAge": 1,
        }


Routing = Callable[[Path, int], RoutingOrthanc]


class ReadyOrthanc(Orthanc):
    """An Orthanc with the configuration of `orthanc/orthanc.json` as it stands, started as its image starts it."""

    PASSWORD = "by$chance-4711"  # noqa: S105 - of this test alone

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, "ORTHANC", {})
        self._port = port

    def command(self) -> list[str]:
        """Return the command line of the image, with this test's variables and its password in a file."""
        secrets = self.folder / "secrets"
        secrets.mkdir()
        (secrets / "ORTHANC_PASSWORD").write_text(f"{self.PASSWORD}\n")
        variables = {
            "ORTHANC_STORAGE": self.folder / "storage",
            "ORTHANC_DICOM_PORT": self.dicom_port,
            "ORTHANC_HTTP_PORT": self.http_port,
            "ORTHANC_ROUTE": SCRIPTS / "route.py",
            "ORTHANC_STABLE_AGE": 1,
            "CRLM_HOST": HOST,
            "CRLM_PORT": self._port,
            "SECRETS": secrets,
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        image = SCRIPTS.parent / "deploy" / "containers" / "orthanc.sh"
        return ["env", *words, "sh", str(image), str(SCRIPTS / "orthanc.json")]

    def get(self, path: str, password: str = "") -> tuple[int, Any]:
        """Return the status and what is answered to a request, with a password or without."""
        connection = HTTPConnection(HOST, self.http_port, timeout=30)
        name = b64encode(f"crlm:{password}".encode()).decode()
        connection.request("GET", path, headers={"Authorization": f"Basic {name}"} if password else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if answer.status == 200 else None

    def answers(self) -> bool:
        """Say whether it asks for a password."""
        try:
            return self.get("/system")[0] == 401
        except OSError:
            return False

    def peer(self, calling: str) -> Peer:
        """It as somebody calls it."""
        return Peer("ORTHANC", HOST, self.dicom_port, calling)


@pytest.fixture
def ready(tmp_path: Path, stack: Stack, lacking: Callable[[str], None]) -> Iterator[ReadyOrthanc]:
    """A running Orthanc with the ready configuration, before the node of the stack."""
    if not PYTHON_PLUGIN.exists():
        lacking("orthanc-python")
    with ReadyOrthanc(tmp_path / "orthanc", stack.port) as orthanc:
        yield orthanc


@pytest.fixture
def routing(tmp_path: Path, lacking: Callable[[str], None]) -> Iterator[Routing]:
    """Return a function that starts an Orthanc with a script and the node's port."""
    started: list[RoutingOrthanc] = []

    def start(script: Path, port: int) -> RoutingOrthanc:
        if script.suffix == ".py" and not PYTHON_PLUGIN.exists():
            lacking("orthanc-python")
        started.append(RoutingOrthanc(tmp_path / "orthanc", script, port))
        started[-1].__enter__()
        return started[-1]

    yield start
    for one in started:
        one.stop()


def give(orthanc: Orthanc, study: Sent, *, seg: bool = True) -> None:
    """Send a study to the Orthanc in front, as a scanner does."""
    files = [*study.slices, *([study.seg] if seg else [])]
    stored = Peer(SCANNER, HOST, orthanc.dicom_port, "MODALITY").store(files)
    assert [one.error for one in stored if one.error] == []


@pytest.mark.parametrize("script", ["route.lua", "route.py"])
def test_a_stable_study_is_sent(stack: Stack, study: Sent, routing: Routing, script: str) -> None:
    """Every slice arrives, once; the segmentation that the study holds as well is not sent on."""
    orthanc = routing(SCRIPTS / script, stack.port)
    give(orthanc, study)
    stack.wait(study.uid, lambda view: view.job is not None if view.jobs else False)
    arrived = {one.sop_instance_uid for one in stack.instances(study.uid)}
    assert arrived == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in study.slices}


def test_the_ready_configuration(stack: Stack, study: Sent, ready: ReadyOrthanc) -> None:
    """A scanner that it names stores, and its CT goes on to the node; a stranger is not let in.

    Who may not ask is not answered. What the node sends back is taken; DICOMweb shows it to who has the password.
    """
    [refused, *_] = ready.peer("STRANGER").store(study.slices[:1])
    assert refused.error is not None
    assert [one.error for one in ready.peer("CT1").store(study.slices) if one.error] == []
    stack.wait(study.uid, lambda view: bool(view.jobs))
    assert len(stack.instances(study.uid)) == len(study.slices)
    assert [one.error for one in ready.peer(NODE).store([study.seg]) if one.error] == []

    with pytest.raises(Unavailable):
        ready.peer("CT1").find("STUDY", {"StudyInstanceUID": study.uid})
    for reader in (NODE, "PACS"):
        assert len(ready.peer(reader).find("STUDY", {"StudyInstanceUID": study.uid})) == 1
    web = f"/dicom-web/studies/{study.uid}/series"
    assert ready.get(web)[0] == 401
    status, series = ready.get(web, ready.PASSWORD)
    assert (status, sorted(one["00080060"]["Value"][0] for one in series)) == (200, ["CT", "SEG"])


def test_a_node_that_is_away(stack: Stack, study: Sent, routing: Routing) -> None:
    """The study waits in the Orthanc, also through its restart, and is sent when the node listens again."""
    away = free_port()
    orthanc = routing(SCRIPTS / "route.py", away)
    give(orthanc, study, seg=False)
    kept = Archive(orthanc)
    name = kept.study_id(study.uid)
    stack.await_(lambda: _state(kept, name) == "waiting", "the study waits")
    orthanc.stop()
    orthanc._modalities = {NODE: (HOST, stack.port)}
    orthanc.__enter__()
    stack.wait(study.uid, lambda view: bool(view.jobs))
    stack.await_(lambda: _state(kept, name) == "sent", "the study is noted as sent")
    assert len(stack.instances(study.uid)) == len(study.slices)


def _state(archive: Archive, study: str) -> str:
    known = archive.rest(f"/studies/{study}/metadata?expand")
    return str(known.get("crlm-node", ""))
