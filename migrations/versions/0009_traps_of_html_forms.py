"""Sources of HTML forms that were made when `website` was the trap for spam keep it, as a setting of their own.

Revision ID: 0009_traps_of_html_forms
Revises: 0008_corrections

Old code runs on the new data: a source's own setting has always come before that of its preset.
"""

from __future__ import annotations

from alembic import op

revision = "0009_traps_of_html_forms"
down_revision = "0008_corrections"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        UPDATE sources
           SET overrides = jsonb_set(
                   jsonb_build_object('spam', '{}'::jsonb) || overrides, '{spam,honeypot}',
                   '["item.website", "item._gotcha", "item.honeypot"]'
               )
         WHERE preset = 'html-form' AND jsonb_typeof(coalesce(overrides -> 'spam', '{}')) = 'object'
           AND NOT coalesce(overrides -> 'spam', '{}') ? 'honeypot'
        """
    )


def downgrade() -> None:
    """Nothing to undo: what a source has set itself, it keeps."""
