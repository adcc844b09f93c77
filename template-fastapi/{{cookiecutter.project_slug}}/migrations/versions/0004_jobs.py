"""jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = {{ '"0003"' if cookiecutter.example else '"0001"' if cookiecutter.auth == "none" else '"0002"' }}
branch_labels = None
depends_on = None

OPEN = "state IN ('waiting', 'running')"
RUNNING_IN_ORDER = "order_key IS NOT NULL AND state = 'running'"


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("unique_key", sa.String(200), nullable=True),
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
                name=op.f("ck_jobs_state"),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
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
            op.f(f"ix_jobs_{'_'.join(columns)}"),
            "jobs",
            columns,
            unique=where == RUNNING_IN_ORDER,
            postgresql_where=sa.text(where),
            sqlite_where=sa.text(where),
        )
    op.create_index(
        "uq_jobs_unique_key",
        "jobs",
        ["unique_key"],
        unique=True,
        postgresql_where=sa.text(OPEN),
        sqlite_where=sa.text(OPEN),
    )
    op.create_table(
        "job_schedules",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("cron", sa.String(200), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_schedules")),
    )


def downgrade() -> None:
    op.drop_table("job_schedules")
    op.drop_table("jobs")
