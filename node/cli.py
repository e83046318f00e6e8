"""The command line: `crlm-node COMMAND`. Reads words, calls the module that does the work, prints what came of it.

Exit codes: 0 done, 1 the job failed or was refused, 2 wrong use. An expected failure is one sentence on stderr.
Commands of the workers are looked up by name (entry-point group `crlm_node.commands`): the node never imports them.
"""

import sys
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from rich.console import Console

from node import __version__, screens
from node.core import log, settings
from node.core.errors import NodeError
from node.core.ledger import Ledger, SchemaMismatch
from node.core.peer import Peer
from node.core.settings import Settings, SettingsError
from node.core.states import Stage
from node.folder import WrongFolder, request_for_folder
from node.reference import settings_page

app = typer.Typer(
    name="crlm-node",
    help="A DICOM node that measures abdominal CTs of patients with colorectal liver metastases. Research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Check and show the settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")

_GROUP = "crlm_node.commands"
_OK, _FAILED, _WRONG_USE = 0, 1, 2
_PIPE_WIDTH = 110  # where no terminal says how wide it is
_out, _err = (Console(stderr=stderr, width=None if sys.stdout.isatty() else _PIPE_WIDTH) for stderr in (False, True))
_config_option: Path | None = None


class MissingPart(RuntimeError):
    """A command belongs to a part that is not installed; the message says how to add it."""


@app.callback()
def _main(
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML).", show_default=False)] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    global _config_option
    _config_option = config
    if version:
        _out.print(__version__)
        raise typer.Exit


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
    study: Annotated[Path | None, typer.Option(help="Folder of your own study.", show_default=False)] = None,
    seg: Annotated[Path | None, typer.Option(help="DICOM SEG that goes with it.", show_default=False)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
) -> None:
    """Run the main job once, in a throw-away home."""
    from node import demo as demonstration  # here: only this command starts servers

    raise typer.Exit(demonstration.run(_out, study=study, seg=seg, keep=keep))


@app.command()
def up() -> None:
    """Run listener, steward and workers on this machine until Ctrl-C."""
    from node.up import Crew, command_lines

    config = _settings()
    Crew(command_lines(settings.config_file(_config_option)), config.home / "log").serve()


@app.command()
def listen() -> None:
    """Take in studies by C-STORE."""
    from node import listen as listener

    listener.run(_settings())


@app.command()
def steward() -> None:
    """Move studies on, from complete to delivered."""
    from node import steward as keeper

    keeper.run(_settings())


@app.command()
def worker(
    queue: Annotated[list[Stage] | None, typer.Option(help="A queue to serve; all by default.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs at once.")] = 1,
) -> None:
    """Segment, measure, report and deliver."""
    _of_the_workers("worker")(_settings(), tuple(queue or Stage), concurrency)


@app.command()
def send(
    folder: Annotated[Path, typer.Argument(help="Folder with DICOM files.", exists=True, file_okay=False)],
    to: Annotated[str, typer.Option(help="Destination as AET@host:port.")],
    calling: Annotated[str, typer.Option(help="AE title that we call with.")] = "CRLM_SEND",
) -> None:
    """Send a folder by C-STORE, with a progress bar."""
    peer = _peer(to, calling)
    report = screens.send(_out, folder, peer)
    screens.sent(_out, report)
    raise typer.Exit(report.exit_code)


@app.command()
def analyse(
    folder: Annotated[Path, typer.Argument(help="Folder with one study.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for result.json, seg.dcm and the SR.")],
    seg: Annotated[Path | None, typer.Option(help="DICOM SEG to measure on.", show_default=False)] = None,
) -> None:
    """Measure a folder, without network."""
    run = _of_the_workers("analyse")
    request = request_for_folder(folder, seg, _settings(), now=datetime.now(UTC).replace(tzinfo=None))
    document, files = run(request, out)
    screens.result(_out, document)
    _out.print(f"Written to {out}: " + ", ".join(files))
    raise typer.Exit(_FAILED if document["refusal"] else _OK)


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write: OUT/ct/, OUT/seg.dcm.", show_default=False)],
    seed: Annotated[int | None, typer.Option(help="Another abdomen than the standard one.", show_default=False)] = None,
    truth: Annotated[Path | None, typer.Option(help="Where to write the truth (OUT/truth.json).")] = None,
) -> None:
    """Write the synthetic abdomen and its truth."""
    from node.phantom import write_phantom

    try:
        files = write_phantom(out, seed=seed, truth_file=truth)
    except FileExistsError as error:
        raise click.UsageError(str(error)) from error
    _out.print(f"{len(files.ct)} slices in {out / 'ct'}, truth as SEG in {files.seg}, numbers in {files.truth_file}")


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="Study Instance UID, or how it begins.")] = None,
) -> None:
    """Show studies, or all that happened to one."""
    ledger = Ledger(_settings().ledger)
    ledger.require_schema()
    if not screens.status(_out, ledger, study or ""):
        _err.print(f"No study {study} is known here." if study else "No study has come yet.")
        raise typer.Exit(_FAILED if study else _OK)


@config_app.command("check")
def config_check() -> None:
    """Read the settings and say whether they can be used."""
    loaded = settings.load(_config_option)
    path = settings.config_file(_config_option)
    _out.print(f"The settings are sound ({path or 'no file: defaults and variables'}).")
    if not loaded.calling:
        _out.print("Nobody may call yet: name the callers under \\[\\[calling]].")
    if not loaded.destinations:
        _out.print("Results go nowhere yet: name a destination under \\[\\[destinations]].")


@config_app.command("show")
def config_show() -> None:
    """Print every setting as it is in force, as JSON."""
    _out.print_json(settings.load(_config_option).model_dump_json())


@config_app.command("reference")
def config_reference() -> None:
    """Print every setting with its meaning, as Markdown."""
    typer.echo(settings_page())


def _peer(to: str, calling: str) -> Peer:
    ae_title, _, address = to.partition("@")
    host, _, port = address.rpartition(":")
    if not (ae_title and host and port.isdecimal()):
        raise click.UsageError(f"--to is AET@host:port, not {to}")
    return Peer(ae_title, host, int(port), calling)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = _WRONG_USE
    except (SettingsError, WrongFolder) as error:
        code = _tell(error, _WRONG_USE)
    except (NodeError, SchemaMismatch, RuntimeError) as error:
        code = _tell(error, _FAILED)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else _OK)


def _tell(error: Exception, code: int) -> int:
    _err.print(f"crlm-node: {error}", style="red", markup=False, highlight=False)
    return code
