"""A site with a running listener, in this process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates import Authority

from node.core.ledger import Ledger
from node.core.ledger.tables import Event, StoredInstance, Study
from node.core.peer import Peer
from node.core.settings import CallingPeer, Settings
from node.core.spool import Spool
from node.listen import Listener

from .sender import CALLER


@dataclass
class Site:
    """A listener with its spool and ledger."""

    settings: Settings
    spool: Spool
    ledger: Ledger
    listener: Listener

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.settings.port

    @property
    def peer(self) -> Peer:
        """Our own client, as a known caller."""
        return Peer("NODE", "127.0.0.1", self.port, CALLER)

    def row(self, sop_instance_uid: str) -> StoredInstance | None:
        """Return the ledger's row of an instance."""
        with self.ledger.transaction() as session:
            return session.get(StoredInstance, sop_instance_uid)

    def study(self, uid: str) -> Study | None:
        """Return the ledger's row of a study."""
        with self.ledger.transaction() as session:
            return session.get(Study, uid)

    def events(self) -> list[Event]:
        """Return all events."""
        with self.ledger.transaction() as session:
            return list(session.query(Event))

    def files(self) -> list[Path]:
        """Return all files of the spool, those being written too."""
        return [path for path in self.spool.root.rglob("*") if path.is_file()]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of the hospital."""
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that the hospital does not know."""
    return Authority(tmp_path_factory.mktemp("tls") / "strange")


@pytest.fixture
def open_site(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Site]]:
    """Return a function that opens a site; settings may be given."""
    opened: list[Site] = []

    def open_it(**changes: object) -> Site:
        values = {
            "home": tmp_path / f"site{len(opened)}",
            "ae_title": "NODE",
            "port": free_port(),
            "calling": (CallingPeer(ae_title=CALLER, hosts=("127.0.0.1",)),),
        }
        settings = Settings(**(values | changes))
        ledger = Ledger(settings.ledger)
        ledger.upgrade()
        listener = Listener(settings)
        listener.start()
        site = Site(settings, Spool(settings.spool_dir), ledger, listener)
        opened.append(site)
        return site

    yield open_it
    for site in opened:
        site.listener.stop()
        site.ledger.close()


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """A running site with default settings, which knows the caller TESTER."""
    return open_site()
