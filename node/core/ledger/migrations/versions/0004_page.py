"""What the page needs: cards to look studies up by, accounts, who is signed in, what was entered, echoes, bookmarks.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_UID, _WORD, _ID = sa.String(64), sa.String(16), sa.String(64)


def upgrade() -> None:
    """Add the tables and the index."""
    op.create_index("ix_study_state", "study", ["state"])
    op.create_table(
        "study_card",
        sa.Column("study_uid", _UID, sa.ForeignKey("study.uid"), primary_key=True),
        sa.Column("sop_instance_uid", _UID, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("patient_id", _ID, nullable=False),
        sa.Column("issuer", _ID, nullable=False),
        sa.Column("patient_name", sa.String(200), nullable=False),
        sa.Column("patient", _ID, nullable=False, index=True),
        sa.Column("name", sa.String(200), nullable=False, index=True),
        sa.Column("accession_number", _ID, nullable=False, index=True),
        sa.Column("study_date", sa.Date, index=True),
        sa.Column("description", sa.String(64), nullable=False),
    )
    op.create_table(
        "patient_entry",
        sa.Column("patient", _ID, primary_key=True),
        sa.Column("issuer", _ID, primary_key=True),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("entered_at", sa.DateTime, nullable=False),
        sa.Column("entered_by", _ID, nullable=False),
    )
    op.create_table(
        "account",
        sa.Column("name", _ID, primary_key=True),
        sa.Column("role", _WORD, nullable=False),
        sa.Column("password", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "sign_in",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("account", _ID, sa.ForeignKey("account.name"), nullable=False, index=True),
        sa.Column("began_at", sa.DateTime, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "echo",
        sa.Column("destination", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("fault", sa.Text, nullable=False),
    )
    op.create_table(
        "bookmark",
        sa.Column("reader", sa.String(32), primary_key=True),
        sa.Column("event", sa.Integer, nullable=False),
    )
