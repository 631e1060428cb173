"""A contact has the consents of the leads that are linked to it; those that exist get what counts today.

Which of the older entries of the consent log came from a bought list is not known: they count as the person's own.

Revision ID: 0010_consents_of_contacts
Revises: 0009_traps_of_html_forms
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010_consents_of_contacts"
down_revision = "0009_traps_of_html_forms"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("contacts", sa.Column("consents", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False))
    op.add_column("consents", sa.Column("bought", sa.Boolean(), server_default="false", nullable=False))
    # The order of app/matching/person_consents.py: the latest decision, at one instant a refusal before a consent.
    op.execute(
        """
        WITH counting AS (
            SELECT DISTINCT ON (l.tenant_id, l.contact_id, c.purpose) l.tenant_id, l.contact_id, c.purpose,
                   jsonb_build_object('state', c.state, 'occurred_at', c.occurred_at, 'text', c.text,
                                      'channel', c.channel, 'source_id', c.source_id, 'bought', false) AS consent
              FROM leads l JOIN consents c ON c.tenant_id = l.tenant_id AND c.lead_id = l.id
             WHERE l.contact_id IS NOT NULL
             ORDER BY l.tenant_id, l.contact_id, c.purpose, c.state = 'unknown', c.occurred_at DESC,
                      c.state = 'given', c.recorded_at DESC, c.id DESC
        )
        UPDATE contacts o SET version = o.version + 1, consents = f.consents
          FROM (SELECT tenant_id, contact_id, jsonb_object_agg(purpose, consent) AS consents
                  FROM counting GROUP BY tenant_id, contact_id) f
         WHERE o.tenant_id = f.tenant_id AND o.id = f.contact_id
        """
    )


def downgrade() -> None:
    op.drop_column("consents", "bought")
    op.drop_column("contacts", "consents")
