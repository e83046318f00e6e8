"""First schema: associations, studies, instances, jobs, deliveries, events.

Revision ID: 0001
Revises: none
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_UID, _KEY, _WORD = sa.String(64), sa.String(32), sa.String(16)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "association",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("calling_ae_title", _WORD, nullable=False),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("opened_at", sa.DateTime, nullable=False),
        sa.Column("active_at", sa.DateTime, nullable=False),
        sa.Column("closed_at", sa.DateTime),
        sa.Column("outcome", _WORD),
    )
    op.create_table(
        "study",
        sa.Column("uid", _UID, primary_key=True),
        sa.Column("state", _WORD, nullable=False),
        sa.Column("reason", _UID),
        sa.Column("first_received_at", sa.DateTime, nullable=False),
        sa.Column("last_received_at", sa.DateTime, nullable=False, index=True),
    )
    op.create_table(
        "instance",
        sa.Column("sop_instance_uid", _UID, primary_key=True),
        sa.Column("study_uid", _UID, sa.ForeignKey("study.uid"), nullable=False, index=True),
        sa.Column("series_uid", _UID, nullable=False, index=True),
        sa.Column("sop_class_uid", _UID, nullable=False),
        sa.Column("transfer_syntax_uid", _UID, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("path", sa.String(255), nullable=False),
        sa.Column("calling_ae_title", _WORD, nullable=False),
        sa.Column("association_id", sa.String(36), sa.ForeignKey("association.id"), nullable=False),
        sa.Column("received_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "job",
        sa.Column("key", _KEY, primary_key=True),
        sa.Column("study_uid", _UID, sa.ForeignKey("study.uid"), nullable=False, index=True),
        sa.Column("state", _WORD, nullable=False, index=True),
        sa.Column("stage", _WORD, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("detail", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("not_before", sa.DateTime, nullable=False),
        sa.Column("published_at", sa.DateTime),
        sa.Column("lease_owner", sa.String(128)),
        sa.Column("lease_until", sa.DateTime),
    )
    op.create_table(
        "delivery",
        sa.Column("sop_instance_uid", _UID, primary_key=True),
        sa.Column("destination", sa.String(64), primary_key=True),
        sa.Column("job_key", _KEY, sa.ForeignKey("job.key"), nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("file", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("state", _WORD, nullable=False, index=True),
        sa.Column("reason", sa.String(64)),
        sa.Column("detail", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.DateTime, nullable=False),
        sa.Column("held_until", sa.DateTime),
        sa.Column("proof", sa.Text),
    )
    op.create_index("delivery_job", "delivery", ["job_key"])
    op.create_table(
        "event",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("subject", _WORD, nullable=False),
        sa.Column("key", sa.String(140), nullable=False),
        sa.Column("old", _WORD),
        sa.Column("new", _WORD, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
    )
    op.create_index("event_subject", "event", ["subject", "key"])
