"""A throw-away PostgreSQL: a cluster in a folder of its own, on a Unix socket, as a user without rights.

The server refuses to be root; a test run of root gives it to `nobody`. It does not sync: nothing of it has to last.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

DATABASES = ("sqlite", "postgresql")
_USER = "crlm"
_UNSAFE = ("fsync", "full_page_writes")
_DEBIAN = Path("/usr/lib/postgresql")


def ledger_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a ledger of one test alone, in the database of its parameter; PostgreSQL has its schema then."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create(like=request.getfixturevalue("migrated"))
    yield url
    server.drop(url)


class Postgres:
    """A cluster; `start` and `stop` it. It can be stopped and started again, as a restart of the database is."""

    def __init__(self) -> None:
        self._programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="crlm-pg-"))
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._numbers = count(1)
        self._as: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        self._run("initdb", "-D", self._data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c max_connections=200"
        options += "".join(f" -c {name}=off" for name in _UNSAFE)
        self._run("pg_ctl", "-D", self._data, "-l", self._log, "-o", options, "-w", "-t", "120", "start")

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        """Stop the server and remove all that it held."""
        self.stop()
        shutil.rmtree(self.folder)

    def create(self, like: str = "template1", encoding: str = "UTF8") -> str:
        """Make a database and return its SQLAlchemy URL: empty, or a copy of the one of that name."""
        name = f"ledger{next(self._numbers)}"
        words = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING {}")
        self._say(words.format(sql.Identifier(name), sql.Identifier(like), sql.Literal(encoding)))
        return f"postgresql+psycopg://{_USER}@/{name}?host={self.folder}"

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._say(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name_of(url))))

    def _say(self, words: sql.Composed) -> None:
        until = time.monotonic() + 60
        while True:
            try:
                with psycopg.connect(f"host={self.folder} user={_USER} dbname=postgres", autocommit=True) as connection:
                    connection.execute(words)
            except psycopg.OperationalError:  # it recovers from a crash
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def _run(self, program: str, *arguments: str | Path) -> None:
        words: Sequence[str | Path] = [*self._as, self._programs / program, *arguments]
        # Into a file: a server that keeps a pipe open would be waited for.
        with (self.folder / "said").open("w+") as said:
            done = subprocess.run(words, cwd="/", stdout=said, stderr=said, timeout=300, check=False)
            said.seek(0)
            assert done.returncode == 0, f"{program}: {said.read()[-2000:]}"


def name_of(url: str) -> str:
    """Return the name of the database of a URL."""
    return url.partition("@/")[2].partition("?")[0]


def programs() -> Path:
    """Return the folder of the programs; Debian keeps them off the PATH."""
    if found := shutil.which("pg_ctl"):
        return Path(found).parent
    versions = sorted(_DEBIAN.glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise FileNotFoundError("PostgreSQL")
    return versions[-1].parent
