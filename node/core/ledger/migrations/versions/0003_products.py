"""What destination rules need: every object that a job made, and what went in place of one that was refused.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_UID, _KEY, _WORD = sa.String(64), sa.String(32), sa.String(16)


def upgrade() -> None:
    """Add the table and the column."""
    op.create_table(
        "product",
        sa.Column("sop_instance_uid", _UID, primary_key=True),
        sa.Column("job_key", _KEY, sa.ForeignKey("job.key"), nullable=False, index=True),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("file", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.add_column("delivery", sa.Column("substitute_uid", _UID))
