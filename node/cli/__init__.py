"""The command line: `crlm-node COMMAND`. Reads words, calls the module that does the work, prints what came of it.

Exit codes: 0 done, 1 the job failed or was refused, 2 wrong use. An expected failure is one sentence on stderr.
Commands of the workers are looked up by name (entry-point group `crlm_node.commands`): the node never imports them.
Modules by subject: `processes`, `studies`, `backfill`, `backup`, `upkeep`, `trail`, `configuration`, `doctor`, `facts`,
`report`, `radiomics`, `signature`, `signature_fit`, `users`, on `application`.
"""

import sys

import typer
from sqlalchemy.exc import ArgumentError, DatabaseError

from node.cli import (  # noqa: F401 - they add their commands
    backfill,
    backup,
    configuration,
    doctor,
    facts,
    processes,
    radiomics,
    report,
    signature,
    signature_fit,
    studies,
    trail,
    upkeep,
    users,
)
from node.cli.application import FAILED, INTERRUPTED, OK, WRONG_USE, WrongUse, app, tell
from node.core.errors import NodeError
from node.core.ledger import SchemaMismatch
from node.core.settings import SettingsError
from node.folder import WrongFolder
from node.form import WrongForm

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        code = app(prog_name="crlm-node", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.TyperException as error:
        where = getattr(getattr(error, "ctx", None), "command_path", "crlm-node")
        sentence = error.format_message().rstrip(".").replace("Value error, ", "")
        code = tell(f"{sentence} (see {where} --help)", WRONG_USE)
    except SettingsError as error:
        code = tell(f"settings: {error}", WRONG_USE)
    except (WrongUse, WrongFolder, WrongForm) as error:
        code = tell(str(error), WRONG_USE)
    except ArgumentError as error:
        code = tell(f"settings: ledger_url: {error}", WRONG_USE)
    except (NodeError, SchemaMismatch, RuntimeError) as error:
        code = tell(str(error), FAILED)
    except DatabaseError as error:
        code = tell(f"the ledger cannot be used: {error.orig}", FAILED)
    except OSError as error:
        code = tell(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), FAILED)
    sys.exit(code if isinstance(code, int) else OK)
