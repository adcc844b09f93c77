"""leads"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = {{ '"0001"' if cookiecutter.auth == "none" else '"0002"' }}
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leads",
        sa.Column("id", sa.Uuid(), nullable=False),
{% if cookiecutter.auth == "users" %}
        sa.Column("owner_id", sa.Uuid(), nullable=False),
{% endif %}
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("email", sa.String(320), nullable=True),
        sa.Column("phone", sa.String(50), nullable=True),
        sa.Column("company", sa.String(200), nullable=True),
        sa.Column("source", sa.String(100), nullable=True),
        sa.Column(
            "status",
            sa.Enum(
                "new",
                "contacted",
                "qualified",
                "won",
                "lost",
                name=op.f("ck_leads_status"),
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
{% if cookiecutter.auth == "users" %}
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_leads_owner_id_users")),
{% endif %}
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leads")),
    )
{% if cookiecutter.auth == "users" %}
    for column in ("created_at", "updated_at", "name"):
        op.create_index(op.f(f"ix_leads_owner_id_{column}_id"), "leads", ["owner_id", column, "id"])
    for column in ("email", "source", "status"):
        op.create_index(op.f(f"ix_leads_owner_id_{column}"), "leads", ["owner_id", column])
{% else %}
    for column in ("created_at", "updated_at", "name"):
        op.create_index(op.f(f"ix_leads_{column}_id"), "leads", [column, "id"])
    for column in ("email", "source", "status"):
        op.create_index(op.f(f"ix_leads_{column}"), "leads", [column])
{% endif %}


def downgrade() -> None:
    op.drop_table("leads")
