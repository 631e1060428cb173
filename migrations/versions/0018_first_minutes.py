"""Rows of a new database are found by primary key from the first one on; words of searches are written at less cost.

Revision ID: 0018_first_minutes
Revises: 0015_fair_among_tenants

Where a table has no rows yet, all of its indexes look equally good to the planner, which then takes the newest: such
a plan reads all rows of the tenant for each foreign key that is checked, until the first ANALYZE. So the primary keys
that foreign keys refer to are built once more, as the newest indexes of these tables.

The words of a lead were collected in a hash table of 1.5 MB, because the planner expected 40,000 of them. It knows that
there are three lines, and expects ten words in each.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0018_first_minutes"
down_revision = "0015_fair_among_tenants"
branch_labels = None
depends_on = None

REFERENCED = sa.text(
    "SELECT DISTINCT t.relname FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid"
    " WHERE c.contype = 'f' AND t.relnamespace = current_schema()::regnamespace ORDER BY 1"
)

# As in 0014, where the number of lines is unknown.
RANKED_WORDS = """
    CREATE OR REPLACE FUNCTION ranked_words(words text) RETURNS TABLE (word text, rank smallint)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT DISTINCT left(w.word, 100), l.rank::smallint
          FROM (VALUES (1, split_part(words, E'\\n', 1)), (2, split_part(words, E'\\n', 2)),
                       (3, split_part(words, E'\\n', 3))) l(rank, line),
               unnest(string_to_array(l.line, ' ')) w(word)
         WHERE w.word <> ''
    $$
"""


def has_rows(table: str) -> sa.Exists:
    return sa.exists().select_from(sa.table(table))


def upgrade() -> None:
    op.execute(RANKED_WORDS)
    if context.is_offline_mode():
        return
    connection = op.get_bind()
    tables = connection.scalars(REFERENCED).all()
    empty = [table for table in tables if not connection.scalar(sa.select(has_rows(table)))]
    with op.get_context().autocommit_block():
        for table in empty:
            op.execute(f"REINDEX INDEX CONCURRENTLY {table}_pkey")


def downgrade() -> None:
    """Indexes and function stay: with those before, old code does the same at more cost."""
