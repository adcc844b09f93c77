"""${message}"""

${"\n".join(sorted(filter(None, ["import sqlalchemy as sa", "from alembic import op", *(imports or "").splitlines()]), key=lambda line: (line.startswith("from"), line)))}

revision = "${up_revision}"
down_revision = ${'"%s"' % down_revision if down_revision else None}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
