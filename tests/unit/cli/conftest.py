"""The command line in this process: words in, exit code and what was printed out."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from node import cli
from node.core.settings import CONFIG_VARIABLE
from node.phantom import PhantomFiles, covering_grid, standard_anatomy, write_phantom


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one sentence that a command that did not succeed prints, to stderr and alone."""
        assert self.out == ""
        assert self.err.startswith("crlm-node: ")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("crlm-node: ").rstrip("\n")


Run = Callable[..., Done]


@pytest.fixture
def crlm_node(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs a command; without words about settings, its home is one of this test.

    No network runs there: what is measured comes with its segmentation.
    """
    config = tmp_path / "config.toml"
    config.write_text(f'home = "{tmp_path / "home"}"\nnetworks = false\n')
    monkeypatch.setenv(CONFIG_VARIABLE, str(config))

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["crlm-node", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, printed.out, printed.err)

    yield run
    structlog.reset_defaults()  # the log was set to a stream that ends with the test


@pytest.fixture(scope="session")
def small_phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    """The standard synthetic abdomen on a grid of 6 x 5 x 5 mm."""
    grid = covering_grid(standard_anatomy(), spacing_mm=(6.0, 5.0, 5.0))
    return write_phantom(tmp_path_factory.mktemp("small"), grid=grid)
