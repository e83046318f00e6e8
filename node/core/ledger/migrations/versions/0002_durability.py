"""What durable operation needs: variants, flags, priorities, commitment, paused queues, the audit trail.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_UID, _KEY, _WORD = sa.String(64), sa.String(32), sa.String(16)
_GUARDED = ("audit", "event")


def upgrade() -> None:
    """Add the tables and columns, and have the database refuse changes of what is only ever added to."""
    op.add_column("instance", sa.Column("removed_at", sa.DateTime))
    op.create_index("ix_instance_association_id", "instance", ["association_id"])
    op.add_column("job", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.add_column("job", sa.Column("predecessor", _KEY))
    op.add_column(
        "delivery", sa.Column("planned_at", sa.DateTime, nullable=False, server_default="2026-01-01 00:00:00")
    )
    op.add_column("delivery", sa.Column("transaction_uid", _UID))
    op.create_index("ix_delivery_transaction_uid", "delivery", ["transaction_uid"])
    op.create_table(
        "variant",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sop_instance_uid", _UID, nullable=False, index=True),
        sa.Column("study_uid", _UID, sa.ForeignKey("study.uid"), nullable=False, index=True),
        sa.Column("transfer_syntax_uid", _UID, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("calling_ae_title", _WORD, nullable=False),
        sa.Column("association_id", sa.String(36), sa.ForeignKey("association.id"), nullable=False, index=True),
        sa.Column("received_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("sop_instance_uid", "digest"),
    )
    op.create_table(
        "study_flag",
        sa.Column("study_uid", _UID, sa.ForeignKey("study.uid"), primary_key=True),
        sa.Column("code", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "commitment",
        sa.Column("transaction_uid", _UID, primary_key=True),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("requested_at", sa.DateTime, nullable=False),
        sa.Column("answered_at", sa.DateTime),
    )
    op.create_table(
        "queue",
        sa.Column("stage", _WORD, primary_key=True),
        sa.Column("paused_at", sa.DateTime),
        sa.Column("cause", sa.Text, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.DateTime, nullable=False, index=True),
        sa.Column("event", _WORD, nullable=False),
        sa.Column("action", sa.String(1), nullable=False),
        sa.Column("outcome", sa.Integer, nullable=False),
        sa.Column("user_id", sa.String(128), nullable=False),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("study_uid", _UID, index=True),
        sa.Column("detail", sa.Text, nullable=False),
    )
    _guard()


def _guard() -> None:
    """Refuse UPDATE and DELETE of the trails, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for table in _GUARDED:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
                )
            op.execute(  # INSERT OR REPLACE deletes without asking the trigger of DELETE
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "  # noqa: S608 - names of our own
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) "
                f"BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
            )
    elif op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION only_added_to() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME "
            "USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        for table in _GUARDED:
            op.execute(
                f"CREATE TRIGGER {table}_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION only_added_to()"
            )
