"""An Orthanc in front of the node sends it every CT study by itself, by either of the scripts in `orthanc/`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archive import Archive
from pydicom import dcmread

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
