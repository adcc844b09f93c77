"""webhooks"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

OPEN = "state IN ('waiting', 'running')"
RUNNING_IN_ORDER = "order_key IS NOT NULL AND state = 'running'"


def upgrade() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("event_type", sa.String(200), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("encrypted", sa.Boolean(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "running",
                "done",
                "dead",
                "cancelled",
                "ignored",
                name=op.f("ck_webhook_events_state"),
                native_enum=False,
                create_constraint=True,
                length=10,
            ),
            nullable=False,
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("order_key", sa.String(200), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_events")),
        sa.UniqueConstraint("source", "event_id", name=op.f("uq_webhook_events_source_event_id")),
    )
    for name, columns, where in (
        ("due_at_id", ["due_at", "id"], "state = 'waiting'"),
        ("lease_until", ["lease_until"], "state = 'running'"),
        ("state", ["state"], "state = 'dead'"),
        ("order_key_id", ["order_key", "id"], f"order_key IS NOT NULL AND {OPEN}"),
        ("finished_at", ["finished_at"], "finished_at IS NOT NULL AND body IS NOT NULL"),
        ("order_key", ["order_key"], RUNNING_IN_ORDER),
    ):
        op.create_index(
            op.f(f"ix_webhook_events_{name}"),
            "webhook_events",
            columns,
            unique=where == RUNNING_IN_ORDER,
            postgresql_where=sa.text(where),
            sqlite_where=sa.text(where),
        )


def downgrade() -> None:
    op.drop_table("webhook_events")
