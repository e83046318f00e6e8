"""Migrations of the ledger, by Alembic: imported where a schema is made or is another one than ours.

In: a connection. Out: the schema of this version. What can go wrong: `CommandError` where a newer version made the
database. Next: `node.core.ledger`, which alone calls it.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError as CommandError
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Make or migrate the schema in the transaction of a connection."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def revisions() -> list[str]:
    """Return every schema that this version knows, the latest first."""
    return [one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config
