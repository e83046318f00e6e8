"""What all commands stand on: the application, its exit codes, the settings, and how a sentence is printed."""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from sqlalchemy.engine import make_url

from node import __version__, selection
from node.core import log, settings
from node.core.ledger import Ledger, SchemaMismatch
from node.core.settings import Settings

CONTEXT = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="crlm-node",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=CONTEXT,
)

_GROUP = "crlm_node.commands"
OK, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
_PIPE_WIDTH = 110  # where no terminal says how wide it is
out, err = (Console(stderr=stderr, width=None if sys.stdout.isatty() else _PIPE_WIDTH) for stderr in (False, True))
_config_option: Path | None = None

FOLDER: dict[str, Any] = {"metavar": "DIR", "exists": True, "file_okay": False, "show_default": False}
FILE: dict[str, Any] = {"metavar": "FILE", "exists": True, "dir_okay": False, "show_default": False}
NEW_FOLDER = FOLDER | {"exists": False}
NEW_FILE = FILE | {"exists": False}


class WrongUse(ValueError):
    """The words of the command line cannot be followed; the message says why."""


class MissingPart(RuntimeError):
    """A command belongs to a part that is not installed; the message says how to add it."""


@app.callback()
def _main(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings (TOML) in place of $CRLM_NODE_CONFIG or /etc/crlm-node/config.toml.", **NEW_FILE),
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
    require_command(context)


def group(name: str, about: str) -> typer.Typer:
    """Add a group of commands to the command line and return it."""
    one = typer.Typer(invoke_without_command=True, context_settings=CONTEXT)

    @one.callback(help=about)
    def _group(context: typer.Context) -> None:
        require_command(context)

    app.add_typer(one, name=name)
    return one


def require_command(context: typer.Context) -> None:
    """Print the help, as wrong use, where the command is missing."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(WRONG_USE)


def settings_in_force() -> Settings:
    """Return the settings, read once for this command, and set the log by them; the rules of series must be sound."""
    loaded = settings.load(_config_option)
    selection.load(loaded.series_rules)
    log.configure(loaded.log_level, loaded.log_form)
    return loaded


def of_the_workers(name: str, extra: str = "worker") -> Any:
    """Return a function of the workers by its name in the entry-point group; `extra` is what brings its libraries."""
    try:
        return next(iter(entry_points(group=_GROUP, name=name))).load()
    except (StopIteration, ImportError) as error:
        raise MissingPart(
            f"{name} needs the {extra}, which is not installed: pip install 'crlm-node[{extra}]'"
        ) from error


def config_option() -> Path | None:
    """Return what `--config` of this command says."""
    return _config_option


def config_file() -> Path | None:
    """Return the file that the settings of this command come from."""
    return settings.config_file(_config_option)


def ledger_of(config: Settings) -> Ledger:
    """Return the site's ledger for a command that only looks or orders: looking must not make one.

    Raises
    ------
    SchemaMismatch
        There is none yet, or it has another schema.
    """
    url = make_url(config.ledger)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise SchemaMismatch(f"there is no ledger in {config.home} yet: start the steward, which makes it")
    ledger = Ledger.of(config)
    ledger.require_schema()
    return ledger


def say(sentence: str) -> None:
    """Print a sentence, which a pipe gets in one line."""
    out.print(escape(sentence), soft_wrap=True, highlight=False)


def tell(sentence: str, code: int) -> int:
    """Print why it ends, to stderr, and return the exit code."""
    err.print(f"crlm-node: {sentence}", style="red", markup=False, highlight=False, soft_wrap=True)
    return code
