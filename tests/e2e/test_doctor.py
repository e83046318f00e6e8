"""What the doctor finds: ten faults planted in a site of real parts, each by itself, and nothing where none is."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from archive import Archive
from lying_clock import LyingClock
from pacs import Pacs, serving
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import build_context
from sqlalchemy import text

from node.core.ailments import Ailment
from node.core.findings import Finding, Level
from node.core.kinds import Kind
from node.core.ledger import Ledger
from node.doctor import examine
from node.servers import Broker, CannotStart, Orthanc, free_port

NODE, PACS, HOST = "CRLM_NODE", "ORTHANC", "127.0.0.1"
_CONFIG = """
home = "{home}"
broker_url = "redis://127.0.0.1:{broker}/0"
ae_title = "{ae_title}"
port = {port}
networks = {networks}
weights_dir = "{weights}"
spool_low_mb = 2
spool_full_mb = {full_mb}

[[calling]]
ae_title = "ORTHANC"

[[destinations]]
kind = "dicom"
name = "pacs"
ae_title = "{pacs}"
host = "{pacs_host}"
port = {pacs_port}
substitutes = {substitutes}
commitment = true
"""


class StrictOrthanc(Orthanc):
    """An Orthanc that lets in only whom it knows, from where it knows them."""

    def configuration(self) -> dict[str, object]:
        """Return its settings."""
        known = ("DicomAlwaysAllowStore", "DicomAlwaysAllowFind", "DicomAlwaysAllowEcho", "DicomAlwaysAllowGet")
        return super().configuration() | dict.fromkeys(known, False) | {"DicomCheckModalityHost": True}


@dataclass
class Site:
    """A site in which nothing is wrong until a test plants it."""

    folder: Path
    broker: Broker
    orthanc: Orthanc
    port: int

    @property
    def home(self) -> Path:
        """Home of the node."""
        return self.folder / "home"

    def config(self, **changes: object) -> Path:
        """Write the settings, with what a test changes."""
        values = {
            "home": self.home,
            "broker": self.broker.port,
            "ae_title": NODE,
            "port": self.port,
            "networks": "false",
            "weights": self.folder / "no-weights",
            "full_mb": 1,
            "pacs": PACS,
            "pacs_host": HOST,
            "pacs_port": self.orthanc.dicom_port,
            "substitutes": "true",
        }
        path = self.folder / "config.toml"
        path.write_text(_CONFIG.format(**values | changes))
        return path

    def found(self, *, orthanc: str = "", phantom: bool = False, **changes: object) -> list[Finding]:
        """Return what the doctor finds."""
        return [one for _, one in examine(self.config(**changes), orthanc=orthanc, phantom=phantom)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Site]:
    """A Redis, an Orthanc that knows the node, a ledger and a listener."""
    if not Orthanc.available():
        lacking("Orthanc")
    folder = tmp_path_factory.mktemp("doctor")
    port = free_port()
    ledger = Ledger(f"sqlite:///{folder / 'home' / 'ledger.sqlite'}")
    ledger.upgrade()
    ledger.close()
    try:
        with Broker(folder / "redis") as broker, Orthanc(folder / "orthanc", PACS, {NODE: (HOST, port)}) as orthanc:
            one = Site(folder, broker, orthanc, port)
            with listening(one):
                yield one
    except CannotStart as error:
        lacking(str(error))


@contextmanager
def listening(site: Site) -> Iterator[None]:
    """Run the listener of a site, as a process of its own."""
    words = [sys.executable, "-P", "-m", "node", "--config", str(site.config()), "listen"]
    with (
        (site.folder / "listen.log").open("wb") as output,
        subprocess.Popen(words, stdout=output, stderr=output) as one,
    ):
        try:
            until = time.monotonic() + 60
            while b"listening" not in (site.folder / "listen.log").read_bytes():
                assert time.monotonic() < until, "the listener does not come up"
                time.sleep(0.05)
            yield
        finally:
            one.terminate()


def faults(found: list[Finding]) -> list[tuple[str, Ailment | None]]:
    """Return check and ailment of each fault."""
    return [(one.check, one.ailment) for one in found if one.level is Level.FAULT]


def the_fault(found: list[Finding]) -> Finding:
    """Return the one fault."""
    [one] = [one for one in found if one.level is Level.FAULT]
    return one


def test_nothing_is_wrong(site: Site) -> None:
    """In a site whose parts all work no fault is found, every part is looked at, and nobody hears of a caller."""
    found = site.found(orthanc=site.orthanc.url)
    assert faults(found) == []
    seen = {one.check: one for one in found if one.level is Level.FINE}
    assert {"disk.spool", "ledger.schema", "broker.answers", "clock.compared", "peer.echo"} <= seen.keys()
    for words in ("SEG", "SR", "Secondary Capture (Summary)", "storage commitment", "C-FIND"):
        assert words in seen["peer.contexts"].found
    assert (
        seen["orthanc.modality"].found
        == f"Orthanc {PACS} knows {NODE} at {HOST}, port {site.port}, and reaches us there."
    )
    assert f"we come as {NODE} from {HOST}" in seen["peer.echo"].found
    assert not list((site.home / "spool" / "tmp").iterdir())


def test_a_wrong_ae_title_is_found(site: Site) -> None:
    """Orthanc rejects another called AE title than its own."""
    one = the_fault(site.found(pacs="ORTANC"))
    assert (one.check, one.ailment) == ("peer.echo", Ailment.CALLED_UNKNOWN)
    assert one.found == f"Who answers at {HOST}, port {site.orthanc.dicom_port}, is not called ORTANC."
    assert one.cure.startswith("Mend ae_title in destinations (pacs)")


@pytest.mark.parametrize(
    ("known", "title"),
    [((NODE, "10.255.255.1"), NODE), ((NODE, HOST), "SOMEBODY")],
    ids=["at another host", "not at all"],
)
def test_an_orthanc_that_does_not_let_us_in(site: Site, tmp_path: Path, known: tuple[str, str], title: str) -> None:
    """Without its REST interface all that is seen is the rejection: the cure says whom it has to know, and where."""
    name, host = known
    with StrictOrthanc(tmp_path / "strict", PACS, {name: (host, site.port)}) as strict:
        found = site.found(pacs_port=strict.dicom_port, ae_title=title)
    one = the_fault(found)
    assert (one.check, one.ailment) == ("peer.echo", Ailment.CALLING_UNKNOWN)
    assert f"AE title {title}, host {HOST}, port {site.port}" in one.cure


def test_a_wrong_host_is_found(site: Site) -> None:
    """Orthanc knows us at another host, and so cannot call: both hosts are named."""
    archive = Archive(site.orthanc)
    right = archive.rest("/modalities", method="GET")
    assert right == [NODE]
    entry = {"AET": NODE, "Host": "127.0.0.9", "Port": free_port()}
    archive.rest(f"/modalities/{NODE}", method="PUT", body=entry)
    try:
        one = the_fault(site.found(orthanc=site.orthanc.url))
    finally:
        archive.rest(f"/modalities/{NODE}", method="PUT", body=entry | {"Host": HOST, "Port": site.port})
    assert (one.check, one.ailment) == ("orthanc.modality", Ailment.HOST_DIFFERS)
    assert f"knows {NODE} at 127.0.0.9, port {entry['Port']}; you come from {HOST}" in one.found
    assert f'"Host": "{HOST}", "Port": {site.port}' in one.cure


def test_an_orthanc_that_has_never_heard_of_us(site: Site) -> None:
    """Its REST interface tells whom it knows; the cure is the entry to add."""
    found = site.found(orthanc=site.orthanc.url, ae_title="STRANGER")
    assert faults(found) == [("orthanc.modality", Ailment.UNKNOWN_TO_ORTHANC)]
    assert f"knows no AE title STRANGER; it knows {NODE}" in the_fault(found).found
    assert f'"crlm-node": {{ "AET": "STRANGER", "Host": "{HOST}", "Port": {site.port} }}' in the_fault(found).cure


def test_a_closed_port_is_found(site: Site) -> None:
    """Nobody listens where the PACS should."""
    port = free_port()
    one = the_fault(site.found(pacs_port=port))
    assert (one.check, one.ailment) == ("peer.echo", Ailment.PORT_CLOSED)
    assert f"its DICOM port is {port}" in one.cure


def test_a_port_that_speaks_something_else_is_found(site: Site) -> None:
    """Orthanc's HTTP port is the usual mistake: it takes the connection and answers no association."""
    one = the_fault(site.found(pacs_port=site.orthanc.http_port))
    assert (one.check, one.ailment) == ("peer.echo", Ailment.NOT_DICOM)


@pytest.mark.parametrize("substitutes", ["false", "true"])
def test_a_refused_seg_is_found(site: Site, substitutes: str) -> None:
    """A PACS that takes SR and images only: a fault where nothing goes in place of the SEG, else a warning."""
    syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
    taken = [build_context(one.sop_class_uid, syntaxes) for one in (Kind.SR, Kind.SUMMARY)]
    with serving(Pacs(free_port(), on_commitment=lambda *_: None), taken, PACS) as pacs:
        found = site.found(pacs_port=pacs.port, substitutes=substitutes)
    [one] = [one for one in found if one.check == "peer.objects"]
    expected = (
        (Level.FAULT, Ailment.CONTEXT_REFUSED) if substitutes == "false" else (Level.WARNING, Ailment.CONTEXT_REPLACED)
    )
    assert (one.level, one.ailment) == expected
    assert one.found.startswith(f"{PACS} refuses SEG")
    assert one.cure.startswith(f"Let the PACS accept SEG from {NODE}")
    assert len(faults(found)) == (substitutes == "false")


def test_a_redis_that_is_down_is_found(site: Site) -> None:
    """A Redis that was killed."""
    site.broker.stop()
    try:
        one = the_fault(site.found())
    finally:
        site.broker.start()
    assert (one.check, one.ailment) == ("broker.answers", Ailment.BROKER_DOWN)
    assert "systemctl start redis-server" in one.cure


def test_a_full_disk_is_found(site: Site, tmp_path: Path) -> None:
    """A small file system without a free block: its free space is too little, and nothing can be written."""
    home = tmp_path / "full"
    home.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "crlm-doctor", home], check=False
        ).returncode
    ):
        pytest.skip("this user may mount no small file system; test_too_little_space_is_found looks at the mark")
    try:
        for name in ("instances", "work", "tmp"):
            (home / "spool" / name).mkdir(parents=True)
        with pytest.raises(OSError, match="No space"):
            (home / "filler").write_bytes(bytes(2**21))
        found = site.found(home=home)
    finally:
        subprocess.run(["umount", home], check=True)
    assert faults(found) == [("disk.spool", Ailment.DISK_FULL), ("disk.space", Ailment.DISK_FULL)]
    assert all(f"Free space on the file system of {home}" in one.cure for one in found if one.level is Level.FAULT)


def test_too_little_space_is_found(site: Site) -> None:
    """Less is free than spool_full_mb: senders are answered A700."""
    free_mb = shutil.disk_usage(site.home).free // 10**6
    one = the_fault(site.found(full_mb=10 * free_mb))
    assert (one.check, one.ailment) == ("disk.space", Ailment.DISK_FULL)


def test_missing_weights_are_found(site: Site) -> None:
    """The check of the workers joins by its entry point; the cure is the command that fetches them."""
    found = site.found(networks="true")
    assert faults(found) == [("networks.weights", Ailment.WEIGHTS_MISSING)]
    assert the_fault(found).cure.startswith("crlm-node models fetch")
    [device] = [one for one in found if one.check == "networks.device"]
    assert device.level in (Level.FINE, Level.NOTE), device
    assert device.found.startswith("torch ")


@pytest.mark.parametrize(
    ("ahead_s", "level", "words"), [(-7200, Level.FAULT, "behind"), (20, Level.WARNING, "ahead of")]
)
def test_a_wrong_clock_is_found(site: Site, ahead_s: int, level: Level, words: str) -> None:
    """A Redis whose time is not ours; the cure names both machines' time server."""
    clock = LyingClock(site.broker.port, ahead_s)
    try:
        found = site.found(broker=clock.port)
    finally:
        clock.close()
    [one] = [one for one in found if one.check == "clock.compared"]
    assert (one.level, one.ailment) == (level, Ailment.CLOCK_WRONG)
    assert f"{words} the clock of this machine" in one.found
    assert "timedatectl" in one.cure
    assert f"on Redis at {HOST}:{clock.port}" in one.cure


@pytest.mark.parametrize(
    ("version", "ailment", "cure"),
    [("0001", Ailment.SCHEMA_OLDER, "crlm-node ledger upgrade"), ("9999", Ailment.SCHEMA_NEWER, "Install the version")],
)
def test_another_schema_is_found(site: Site, tmp_path: Path, version: str, ailment: Ailment, cure: str) -> None:
    """An older ledger is to be upgraded, a newer one needs a newer program."""
    home = tmp_path / "home"
    ledger = Ledger(f"sqlite:///{home / 'ledger.sqlite'}")
    ledger.upgrade()
    with ledger.transaction() as session:
        session.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))  # noqa: S608 - two constants
    ledger.close()
    one = the_fault(site.found(home=home))
    assert (one.check, one.ailment) == ("ledger.schema", ailment)
    assert cure in one.cure


def test_an_unreadable_spool_is_found(site: Site, tmp_path: Path) -> None:
    """The command itself, without root's right to read everything: exit code 1, the cure in words and in JSON."""
    home = tmp_path / "home"
    for name in ("instances", "work", "tmp"):
        (home / "spool" / name).mkdir(parents=True)
    (home / "spool" / "instances").chmod(0)
    config = site.config(home=home)
    rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    words = [*rights, sys.executable, "-P", "-m", "node", "--config", str(config), "doctor", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    (home / "spool" / "instances").chmod(0o700)
    assert (done.returncode, done.stderr) == (1, "")
    told = json.loads(done.stdout)
    assert not told["sound"]
    [one] = [one for one in told["findings"] if one["level"] == "fault"]
    assert (one["check"], one["ailment"]) == ("disk.spool", "spool-unusable")
    assert "Permission denied" in one["found"]
    assert f"chmod -R u+rwX {home / 'spool'}" in one["cure"]


def test_the_phantom_comes_back_out(site: Site) -> None:
    """Stored by C-STORE, listed by C-FIND, deleted by REST: afterwards Orthanc holds what it held before."""
    archive = Archive(site.orthanc)
    before = archive.counts()
    begun = time.monotonic()
    found = site.found(phantom=True, orthanc=site.orthanc.url)
    assert faults(found) == []
    told = {one.check: one for one in found if one.check.startswith("phantom.")}
    names = ("phantom.stored", "phantom.found", "phantom.deleted")
    assert {name: one.level for name, one in told.items()} == dict.fromkeys(names, Level.FINE), told
    assert archive.counts() == before
    assert time.monotonic() - begun < 60


def test_a_phantom_that_nobody_can_delete_is_named(site: Site) -> None:
    """Without the REST interface the study stays, and the finding says which it is."""
    archive = Archive(site.orthanc)
    found = site.found(phantom=True)
    [one] = [one for one in found if one.check == "phantom.deleted"]
    assert (one.level, one.ailment) == (Level.NOTE, Ailment.PHANTOM_LEFT)
    [held] = archive.rest("/studies")
    assert archive.rest(f"/studies/{held}")["MainDicomTags"]["StudyInstanceUID"] in one.found
    archive.clear()
