"""outbox"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = {{ '"0005"' if cookiecutter.webhooks else '"0004"' }}
branch_labels = None
depends_on = None

OPEN = "state IN ('waiting', 'running')"
RUNNING_IN_ORDER = "order_key IS NOT NULL AND state = 'running'"


def upgrade() -> None:
    op.create_table(
        "outbox_messages",
        sa.Column("message_id", sa.String(40), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("event_type", sa.String(200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
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
                name=op.f("ck_outbox_messages_state"),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_messages")),
    )
    for columns, where in (
        (["due_at", "id"], "state = 'waiting'"),
        (["lease_until"], "state = 'running'"),
        (["state"], "state = 'dead'"),
        (["order_key", "id"], f"order_key IS NOT NULL AND {OPEN}"),
        (["finished_at"], "finished_at IS NOT NULL"),
        (["order_key"], RUNNING_IN_ORDER),
    ):
        op.create_index(
            op.f(f"ix_outbox_messages_{'_'.join(columns)}"),
            "outbox_messages",
            columns,
            unique=where == RUNNING_IN_ORDER,
            postgresql_where=sa.text(where),
            sqlite_where=sa.text(where),
        )


def downgrade() -> None:
    op.drop_table("outbox_messages")
