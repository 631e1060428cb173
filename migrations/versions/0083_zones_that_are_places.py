"""Time zones that are no place become UTC, in calendars, of users and of sources.

`localtime` is the zone of the machine, and some of the others are not known to PostgreSQL: reports failed.

Revision ID: 0083_zones_that_are_places
Revises: 0081_kept_scores

All steps can be repeated.
"""

from __future__ import annotations

from alembic import op

revision = "0083_zones_that_are_places"
down_revision = "0081_kept_scores"
branch_labels = None
depends_on = None

NO_PLACE = "'^(localtime|posixrules|Factory|(right|posix)/.*)$'"
MEMBERS = (
    ("tenants", "calendar", "{time_zone}"),
    ("calendars", "calendar", "{time_zone}"),
    ("sources", "defaults", "{timezone}"),
    ("sources", "overrides", "{defaults,timezone}"),
    ("sources", "overrides", "{occurred_at,timezone}"),
)


def upgrade() -> None:
    op.execute(
        f"UPDATE users SET time_zone = 'UTC', version = version + 1 WHERE time_zone ~ {NO_PLACE}"  # noqa: S608
    )
    for table, column, path in MEMBERS:
        op.execute(
            f"UPDATE {table} SET {column} = jsonb_set({column}, '{path}', '\"UTC\"')"  # noqa: S608
            f" WHERE {column} #>> '{path}' ~ {NO_PLACE}"
        )


def downgrade() -> None:
    pass
