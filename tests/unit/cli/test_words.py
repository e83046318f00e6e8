"""The words of the command line: all explained, and wrong ones answered in one sentence with exit code 2."""

import re
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer

from node import cli
from node.core.settings import Settings
from node.phantom import PhantomFiles

COMMANDS = (
    *("demo", "up", "listen", "steward", "worker", "web", "send", "analyse", "radiomics", "series", "phantom"),
    *("alive", "conformance"),
    *("status", "audit", "doctor", "backup", "restore"),
    *("replay", "priority", "pause", "resume", "backfill"),
    *("user add", "user list", "user password", "user remove"),
    *("quarantine list", "quarantine show", "quarantine release", "quarantine delete"),
    *("ledger upgrade", "ledger check", "ledger rebuild"),
    *("facts check", "facts enter", "facts template"),
    *("report show", "report check"),
    *("config check", "config show", "config reference"),
    *("models list", "models verify", "models fetch"),
    *("signature list", "signature show", "signature score", "signature fit"),
)


def tree(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command that can be run, by its words."""
    subcommands = getattr(command, "commands", {})
    if not subcommands:
        yield name, command
    for word, one in subcommands.items():
        yield from tree(one, f"{name} {word}".strip())


ALL = dict(tree(typer.main.get_command(cli.app)))


def test_the_commands_are_those_that_are_promised() -> None:
    """No command is missing, none is there that nobody wrote of."""
    assert set(ALL) == set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_help_is_complete(words: str, crlm_node: Callable[..., Any]) -> None:
    """Every command says what it does, and what each of its words means, with -h and --help."""
    done = crlm_node(*words.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert crlm_node(*words.split(), "-h") == done
    assert len(ALL[words].help) > 20
    for parameter in ALL[words].params:
        assert parameter.help, parameter.name
        assert max(*parameter.opts, key=len) in done.out or parameter.metavar in done.out
    assert "<path>" not in done.out.replace("IMAGE <path>", "")  # that one is a file or a folder


@pytest.mark.parametrize(
    "words",
    [(), ("config",), ("models",), ("quarantine",), ("ledger",), ("facts",), ("report",), ("signature",)],
)
def test_no_command_prints_the_help(words: tuple[str, ...], crlm_node: Callable[..., Any]) -> None:
    """Wrong use, and the list of commands on stderr."""
    done = crlm_node(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("Usage: crlm-node")
    assert "Commands:" in done.err


def test_version(crlm_node: Callable[..., Any]) -> None:
    """`--version` prints the version of pyproject.toml and stops."""
    project = Path(__file__).parents[3] / "pyproject.toml"
    done = crlm_node("--version")
    assert (done.code, done.out.strip()) == (0, tomllib.loads(project.read_text())["project"]["version"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nosuch",), "No such command 'nosuch' (see crlm-node --help)"),
        (("status", "--nosuch"), "No such option: --nosuch (see crlm-node status --help)"),
        (("send",), "Missing argument 'DIR' (see crlm-node send --help)"),
        (("send", "EMPTY"), "Missing option '--to' (see crlm-node send --help)"),
        (("send", "EMPTY", "--to", "A@127.0.0.1:104"), "EMPTY holds no DICOM file"),
        (("send", "MISSING", "--to", "A@127.0.0.1:104"), "Invalid value for 'DIR': dir 'MISSING' does not exist"),
        (("replay",), "Missing argument 'STUDY' (see crlm-node replay --help)"),
        (("pause", "x"), "Invalid value for 'segment|measure|deliver': 'x' is not one of"),
        (("quarantine", "delete"), "Missing argument 'STUDY' (see crlm-node quarantine delete --help)"),
        (("worker", "--queue", "x"), "Invalid value for '--queue': 'x' is not one of"),
        (("worker", "--concurrency", "0"), "Invalid value for '--concurrency'"),
        (("worker", "--gpu", "-1"), "Invalid value for '--gpu'"),
        (("worker", "--gpu", "1"), '--gpu goes with device = "gpu" in the settings'),
        (("analyse", "EMPTY", "--out", "OUT"), "EMPTY holds no readable DICOM file"),
        (("analyse", "MISSING", "--out", "OUT"), "Invalid value for 'DIR': dir 'MISSING' does not exist"),
        (("analyse", "EMPTY", "--seg", "MISSING", "--out", "OUT"), "Invalid value for '--seg': file 'MISSING'"),
        (("analyse", "EMPTY"), "Missing option '--out'"),
        (("phantom",), "Missing argument 'OUT'"),
        (("phantom", "OUT", "--seed", "x"), "Invalid value for '--seed'"),
        (("demo", "--study", "MISSING"), "Invalid value for '--study': dir 'MISSING' does not exist"),
        (("demo", "--study", "EMPTY"), "EMPTY holds no readable DICOM file"),
        (("demo", "--seg", "FILE"), "--seg goes with --study"),
        (("--config", "MISSING", "status"), "settings: MISSING: No such file or directory"),
        (("--config", "FILE", "status"), "settings: FILE: not TOML"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_words(words: tuple[str, ...], sentence: str, crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """Each is answered by one sentence on stderr that names what is wrong, and exit code 2."""
    places = {name: tmp_path / name.lower() for name in ("EMPTY", "MISSING", "OUT", "FILE")}
    places["EMPTY"].mkdir()
    places["FILE"].write_text("this is neither DICOM nor TOML")
    done = crlm_node(*(places.get(word, word) for word in words))
    sentence = re.sub(r"[A-Z]+", lambda found: str(places[found[0]]) if found[0] in words else found[0], sentence)
    assert done.sentence.startswith(sentence)
    assert done.code == 2
    assert not places["OUT"].exists()


@pytest.mark.parametrize(
    "to",
    ["bad", "A@host", "A@:104", "@host:104", "A@host:x", "A@host:0", "A@host:65536", "A" * 17 + "@h:1", "A\\B@h:1"],
)
def test_wrong_destinations(to: str, crlm_node: Callable[..., Any], small_phantom: PhantomFiles) -> None:
    """What cannot be an AE title at an address is wrong use, not a failure of the network."""
    done = crlm_node("send", small_phantom.ct[0].parent, "--to", to)
    assert done.code == 2
    assert "AE" in done.sentence


@pytest.mark.parametrize("words", [("listen",), ("steward",), ("worker",), ("status",), ("config", "check")])
@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ('hom = "x"', "settings: hom: unknown key"),
        ('[[calling]]\nhosts = ["10.0.0.1"]', "settings: calling.0.ae_title: missing key"),
        ("port = 70000", "settings: port: Input should be less than or equal to 65535"),
    ],
)
def test_wrong_settings_stop_every_start(
    words: tuple[str, ...], toml: str, sentence: str, crlm_node: Callable[..., Any], tmp_path: Path
) -> None:
    """An unknown, missing or impossible key is named, whatever was to be started."""
    config = tmp_path / "wrong.toml"
    config.write_text(toml)
    done = crlm_node("--config", config, *words)
    assert (done.code, done.sentence) == (2, sentence)


def test_an_unknown_variable_stops_the_start(crlm_node: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is spelt wrong would otherwise be a setting that silently does nothing."""
    monkeypatch.setenv("CRLM_NODE_QUIET_TIM_S", "5")
    done = crlm_node("status")
    assert (done.code, done.sentence) == (2, "settings: CRLM_NODE_QUIET_TIM_S: unknown variable")


@pytest.mark.parametrize("url", ["nonsense", "nosuch://host/db"])
def test_a_ledger_url_that_is_none(url: str, crlm_node: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named as the setting that is wrong."""
    monkeypatch.setenv("CRLM_NODE_LEDGER_URL", url)
    done = crlm_node("status")
    assert done.code == 2
    assert done.sentence.startswith("settings: ledger_url: ")


@pytest.mark.parametrize("command", ["worker", "analyse"])
@pytest.mark.parametrize("broken", [False, True], ids=["no entry point", "a library is missing"])
def test_without_the_worker_the_pip_line_is_told(
    command: str,
    broken: bool,
    crlm_node: Callable[..., Any],
    small_phantom: PhantomFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine that has only the node: exit 1, and how to add what is missing."""
    left = (EntryPoint(command, "no_such_library.cli:run", "crlm_node.commands"),) if broken else ()
    monkeypatch.setattr(cli.application, "entry_points", lambda **_: left)
    words = ("analyse", small_phantom.ct[0].parent, "--out", tmp_path / "out") if command == "analyse" else (command,)
    done = crlm_node(*words)
    assert done.code == 1
    assert done.sentence == f"{command} needs the worker, which is not installed: pip install 'crlm-node[worker]'"
    assert not (tmp_path / "out").exists()


# --- config ---------------------------------------------------------------------------------------------------------


def test_config_check_says_what_is_sound_and_what_is_missing(crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """Settings that can be used, but with nobody who may call and nowhere to send, are told so."""
    done = crlm_node("config", "check")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"The settings are sound ({tmp_path / 'config.toml'}).",
        "Nobody may call yet: name the callers under [[calling]].",
        "Results go nowhere yet: name a destination under [[destinations]].",
    ]
    (tmp_path / "config.toml").write_text(
        '[[calling]]\nae_title = "CT"\n[[destinations]]\nkind = "folder"\nname = "f"\npath = "/f"\n'
    )
    assert len(crlm_node("config", "check").out.splitlines()) == 1


def test_config_check_asks_each_pacs(
    crlm_node: Callable[..., Any], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """Only where it is wanted; one that cannot be asked is told with the reason, and the exit code says so."""
    (tmp_path / "config.toml").write_text(
        '[[calling]]\nae_title = "CT"\n[[destinations]]\nkind = "folder"\nname = "f"\npath = "/f"\n'
        '[[destinations]]\nkind = "dicom"\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        f"port = {free_port()}\n"
    )
    assert crlm_node("config", "check").code == 0
    done = crlm_node("config", "check", "--probe")
    assert done.code == 1
    assert [line.startswith("pacs: The destination cannot be reached.") for line in done.out.splitlines()[1:]] == [True]
    assert "connection refused" in done.out


def test_config_show_prints_what_is_in_force(
    crlm_node: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every setting as JSON that reads back to the same; variables stand above the file; no password is shown."""
    monkeypatch.setenv("CRLM_NODE_QUIET_TIME_S", "7.5")
    shown = Settings.model_validate_json(crlm_node("config", "show").out)
    assert (shown.home, shown.quiet_time_s) == (tmp_path / "home", 7.5)
    monkeypatch.setenv("CRLM_NODE_LEDGER_URL", "postgresql://node:s3cret@db/ledger")
    monkeypatch.setenv("CRLM_NODE_BROKER_URL", "redis://:s3cret@127.0.0.1:6379/0")
    done = crlm_node("config", "show")
    assert done.code == 0
    assert "s3cret" not in done.out
    assert "node:***@db" in done.out


def test_config_reference_names_every_setting(crlm_node: Callable[..., Any]) -> None:
    """The page of the docs comes from the settings themselves."""
    printed = crlm_node("config", "reference").out
    assert all(f"`{name}`" in printed for name in Settings.model_fields)
