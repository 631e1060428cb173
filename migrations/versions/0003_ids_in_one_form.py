"""Salesforce ids are stored in their 18-character form, and the purposes of consents are found by an index.

Revision ID: 0003_ids_in_one_form
Revises: 0002_retry_at

Old code runs on the new schema: it looks such an id up as it was typed, so that one of 15 characters is a new person to
it until it is replaced. An id whose longer form another lead has stays as it is.
"""

from __future__ import annotations

from alembic import op

revision = "0003_ids_in_one_form"
down_revision = "0002_retry_at"
branch_labels = None
depends_on = None

INDEX = "consents_purpose_idx"
CAPITALS, DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def upgrade() -> None:
    longer = "i.value || " + " || ".join(map(digit, (1, 6, 11)))
    op.execute(
        f"""
        UPDATE identities i SET value = {longer}
         WHERE i.kind = 'external' AND lower(i.namespace) LIKE 'salesforce%' AND i.value ~ '^[A-Za-z0-9]{{15}}$'
           AND NOT EXISTS (SELECT 1 FROM identities o WHERE o.tenant_id = i.tenant_id AND o.kind = i.kind
                              AND o.namespace = i.namespace AND o.value = {longer})
        """  # noqa: S608 - made of the constants above
    )
    with op.get_context().autocommit_block():
        # One that timed out half-way is there, but invalid.
        op.drop_index(INDEX, table_name="consents", if_exists=True, postgresql_concurrently=True)
        columns = ["tenant_id", "purpose"]
        op.create_index(INDEX, "consents", columns, unique=False, if_not_exists=True, postgresql_concurrently=True)


def digit(start: int) -> str:
    """The character that tells which of five characters are capitals: bit n for character n."""
    bits = " + ".join(
        f"(position(substr(i.value, {start + n}, 1) IN '{CAPITALS}') > 0)::integer * {1 << n}" for n in range(5)
    )
    return f"substr('{DIGITS}', 1 + {bits}, 1)"


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, table_name="consents", if_exists=True, postgresql_concurrently=True)
