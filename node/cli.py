"""The command line: `crlm-node COMMAND`. Reads words, calls the module that does the work, prints what came of it.

Exit codes: 0 done, 1 the job failed or was refused, 2 wrong use. An expected failure is one sentence on stderr.
Commands of the workers are looked up by name (entry-point group `crlm_node.commands`): the node never imports them.
"""

import sys
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from node import __version__, screens
from node.core import log, settings
from node.core.errors import NodeError
from node.core.ledger import Ledger, SchemaMismatch
from node.core.peer import Peer
from node.core.settings import Settings, SettingsError
from node.core.states import Stage
from node.folder import WrongFolder, request_for_folder
from node.reference import settings_page
from node.send import files_below

_SETTINGS = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="crlm-node",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
)
config_app = typer.Typer(invoke_without_command=True, context_settings=_SETTINGS)
app.add_typer(config_app, name="config")
models_app = typer.Typer(invoke_without_command=True, context_settings=_SETTINGS)
app.add_typer(models_app, name="models")

_GROUP = "crlm_node.commands"
_OK, _FAILED, _WRONG_USE, _INTERRUPTED = 0, 1, 2, 130
_PIPE_WIDTH = 110  # where no terminal says how wide it is
_out, _err = (Console(stderr=stderr, width=None if sys.stdout.isatty() else _PIPE_WIDTH) for stderr in (False, True))
_config_option: Path | None = None

_FOLDER: dict[str, Any] = {"metavar": "DIR", "exists": True, "file_okay": False, "show_default": False}
_FILE: dict[str, Any] = {"metavar": "FILE", "exists": True, "dir_okay": False, "show_default": False}
_NEW_FOLDER = _FOLDER | {"exists": False}
_NEW_FILE = _FILE | {"exists": False}


class WrongUse(ValueError):
    """The words of the command line cannot be followed; the message says why."""


class MissingPart(RuntimeError):
    """A command belongs to a part that is not installed; the message says how to add it."""


@app.callback()
def _main(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings (TOML) in place of $CRLM_NODE_CONFIG or /etc/crlm-node/config.toml.", **_NEW_FILE),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Measure abdominal CTs of patients with colorectal liver metastases, as a DICOM node. Research use only.

    Exit codes: 0 done, 1 the job failed or was refused, 2 wrong use.
    """
    global _config_option
    _config_option = config
    if version:
        typer.echo(__version__)
        raise typer.Exit
    _require_command(context)


@config_app.callback()
def _config(context: typer.Context) -> None:
    """Check and show the settings."""
    _require_command(context)


@models_app.callback()
def _models(context: typer.Context) -> None:
    """List, fetch and verify the weights of the networks."""
    _require_command(context)


def _require_command(context: typer.Context) -> None:
    """Print the help, as wrong use, where the command is missing."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(_WRONG_USE)


def _settings() -> Settings:
    loaded = settings.load(_config_option)
    log.configure(loaded.log_level, loaded.log_form)
    return loaded


def _of_the_workers(name: str) -> Any:
    """Return a function of the workers by its name in the entry-point group."""
    try:
        return next(iter(entry_points(group=_GROUP, name=name))).load()
    except (StopIteration, ImportError) as error:
        raise MissingPart(
            f"{name} needs the worker, which is not installed: pip install 'crlm-node[worker]'"
        ) from error


@app.command()
def demo(
    study: Annotated[Path | None, typer.Option(help="Folder of your own study.", **_FOLDER)] = None,
    seg: Annotated[Path | None, typer.Option(help="DICOM SEG of that study.", **_FILE)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
) -> None:
    """Run the main job once, in a throw-away home.

    Starts Redis, Orthanc as the PACS (a folder where it is not installed) and the node on free ports of this machine,
    sends the synthetic abdomen or your own study to both, waits, and prints what was measured and what the PACS holds.
    """
    from node import demo as demonstration  # here: only this command starts servers

    if seg is not None and study is None:
        raise WrongUse("--seg goes with --study: the synthetic abdomen brings its own")
    raise typer.Exit(demonstration.run(_out, study=study, seg=seg, keep=keep))


@app.command()
def up() -> None:
    """Run listener, steward and workers on this machine until Ctrl-C.

    A process that ends is started again. The output of each goes to a file in HOME/log.
    """
    from node.up import Crew, command_lines

    config = _settings()
    ledger = Ledger(config.ledger)
    ledger.upgrade()  # before the listener asks for it
    ledger.close()
    _say(f"{config.ae_title} listens on {config.host}:{config.port}; the processes write to {config.home / 'log'}")
    Crew(command_lines(settings.config_file(_config_option)), config.home / "log").serve()


@app.command()
def listen() -> None:
    """Take in studies by C-STORE.

    Several may run and share the port. The steward makes the ledger: start it first.
    """
    from node import listen as listener

    listener.run(_settings())


@app.command()
def steward() -> None:
    """Move studies on, from complete to delivered.

    Exactly one works in a home. It also makes and migrates the ledger.
    """
    from node import steward as keeper

    keeper.run(_settings())


@app.command()
def worker(
    queue: Annotated[
        list[Stage] | None, typer.Option(metavar="|".join(Stage), help="A queue to serve, repeatable; all by default.")
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="Jobs at once.")] = 1,
) -> None:
    """Segment, measure, report and deliver."""
    _of_the_workers("worker")(_settings(), tuple(queue or Stage), concurrency)


@app.command()
def send(
    folder: Annotated[Path, typer.Argument(help="Folder with DICOM files.", **_FOLDER)],
    to: Annotated[str, typer.Option(metavar="AET@HOST:PORT", help="Destination.", show_default=False)],
    calling: Annotated[str, typer.Option(metavar="AET", help="AE title that we call with.")] = "CRLM_SEND",
) -> None:
    """Send a folder by C-STORE, with a progress bar.

    Files that are no DICOM are skipped. Exit code 1 where a file was not stored.
    """
    peer = _peer(to, calling)
    if not files_below(folder):
        raise WrongUse(f"{folder} holds no DICOM file")
    report = screens.send(_out, folder, peer)
    screens.sent(_out, report)
    raise typer.Exit(report.exit_code)


@app.command()
def analyse(
    folder: Annotated[Path, typer.Argument(help="Folder with one study.", **_FOLDER)],
    out: Annotated[Path, typer.Option(help="Folder for result.json, seg.dcm and the SR.", **_NEW_FOLDER)],
    seg: Annotated[Path | None, typer.Option(help="DICOM SEG to measure on.", **_FILE)] = None,
    force_demo_model: Annotated[
        bool, typer.Option("--force-demo-model", help="Let the demonstration model run on a real study.")
    ] = False,
) -> None:
    """Measure a folder, without network.

    Runs the same code as the workers. A study that is refused gets a result.json with the reason, and exit code 1.
    """
    run = _of_the_workers("analyse")
    settings_ = _settings()
    request = request_for_folder(folder, seg, settings_, now=datetime.now(UTC).replace(tzinfo=None))
    try:
        document, files = run(request, out, settings_, force_demo=force_demo_model)
    except FileExistsError as error:
        raise WrongUse(str(error)) from error
    screens.result(_out, document)
    _say(f"Written to {out}: " + ", ".join(files))
    raise typer.Exit(_FAILED if document["refusal"] else _OK)


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.", **_NEW_FOLDER | {"metavar": "OUT"})],
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Another abdomen than the standard one.", show_default=False)
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Where to write the truth, in place of OUT/truth.json.", **_NEW_FILE)
    ] = None,
) -> None:
    """Write the synthetic abdomen and its truth.

    OUT/ct/ is a CT series, OUT/seg.dcm its exact segmentation, OUT/truth.json its exact numbers under the ids of
    result.json.
    """
    from node.phantom import write_phantom

    try:
        files = write_phantom(out, seed=seed, truth_file=truth)
    except FileExistsError as error:
        raise WrongUse(str(error)) from error
    _say(f"{len(files.ct)} slices in {out / 'ct'}, truth as SEG in {files.seg}, numbers in {files.truth_file}")


@app.command()
def status(
    study: Annotated[
        str | None, typer.Argument(metavar="STUDY", help="Study Instance UID, or how it begins.", show_default=False)
    ] = None,
) -> None:
    """Show studies, or all that happened to one."""
    config = _settings()
    url = make_url(config.ledger)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():  # looking must not make one
        raise SchemaMismatch(f"there is no ledger in {config.home} yet: start the steward, which makes it")
    ledger = Ledger(config.ledger)
    ledger.require_schema()
    if screens.status(_out, ledger, study or ""):
        return
    if study:
        raise typer.Exit(_tell(f"no study {study} is known here", _FAILED))
    _say("No study has come yet.")


@models_app.command("list")
def models_list() -> None:
    """Show which weights are needed, how they stand, their licences, and what they may be used for."""
    screens.models(_out, _of_the_workers("models")(_settings(), "list"))


@models_app.command("fetch")
def models_fetch() -> None:
    """Download TotalSegmentator's weights with its own downloader."""
    screens.models(_out, _of_the_workers("models")(_settings(), "fetch"))


@models_app.command("verify")
def models_verify() -> None:
    """Compare every file of the weights with the manifest."""
    screens.models(_out, _of_the_workers("models")(_settings(), "verify"))


@config_app.command("check")
def config_check() -> None:
    """Read the settings and say whether they can be used."""
    loaded = settings.load(_config_option)
    make_url(loaded.ledger)
    _say(f"The settings are sound ({settings.config_file(_config_option) or 'no file: defaults and variables'}).")
    if not loaded.calling:
        _say("Nobody may call yet: name the callers under [[calling]].")
    if not loaded.destinations:
        _say("Results go nowhere yet: name a destination under [[destinations]].")


@config_app.command("show")
def config_show() -> None:
    """Print every setting as it is in force, as JSON; passwords are left out."""
    loaded = settings.load(_config_option)
    urls = {
        name: make_url(url).render_as_string()
        for name in ("ledger_url", "broker_url")
        if (url := getattr(loaded, name))
    }
    typer.echo(loaded.model_copy(update=urls).model_dump_json(indent=2))


@config_app.command("reference")
def config_reference() -> None:
    """Print every setting with its meaning, as Markdown."""
    typer.echo(settings_page())


def _peer(to: str, calling: str) -> Peer:
    ae_title, _, address = to.partition("@")
    host, _, port = address.rpartition(":")
    if not (ae_title and host and port.isdecimal() and 0 < int(port) < 65536):
        raise WrongUse(f"--to is AET@HOST:PORT, not {to}")
    for name in (ae_title, calling):
        if not 0 < len(name.strip()) <= 16 or not name.isascii() or not name.isprintable() or "\\" in name:
            raise WrongUse(f"an AE title has 1 to 16 characters of ASCII without a backslash, unlike {name}")
    return Peer(ae_title, host, int(port), calling)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        code = app(prog_name="crlm-node", standalone_mode=False)
    except typer.TyperException as error:
        where = getattr(getattr(error, "ctx", None), "command_path", "crlm-node")
        sentence = error.format_message().rstrip(".").replace("Value error, ", "")
        code = _tell(f"{sentence} (see {where} --help)", _WRONG_USE)
    except SettingsError as error:
        code = _tell(f"settings: {error}", _WRONG_USE)
    except (WrongUse, WrongFolder) as error:
        code = _tell(str(error), _WRONG_USE)
    except ArgumentError as error:
        code = _tell(f"settings: ledger_url: {error}", _WRONG_USE)
    except (NodeError, SchemaMismatch, RuntimeError) as error:
        code = _tell(str(error), _FAILED)
    except DatabaseError as error:
        code = _tell(f"the ledger cannot be used: {error.orig}", _FAILED)
    except OSError as error:
        code = _tell(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), _FAILED)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    sys.exit(code if isinstance(code, int) else _OK)


def _say(sentence: str) -> None:
    """Print a sentence, which a pipe gets in one line."""
    _out.print(escape(sentence), soft_wrap=True, highlight=False)


def _tell(sentence: str, code: int) -> int:
    """Print why it ends, to stderr, and return the exit code."""
    _err.print(f"crlm-node: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    return code
