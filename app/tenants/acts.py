"""What rows of the audit log tell of: each act that is recorded, and by which the log can be filtered."""

from __future__ import annotations

from typing import Literal

Act = Literal[
    "console.logged_in",
    "key.created",
    "key.read",
    "key.revoked",
    "keys.read",
    "lead.erased",
    "lead.exception_set",
    "lead.exception_taken_back",
    "person.exported",
    "policy.activated",
    "policy.activation_refused",
    "policy.approved",
    "policy.changed",
    "policy.created",
    "policy.deleted",
    "policy.planned",
    "policy.proposed",
    "retention.run",
    "source.archived",
    "source.changed",
    "source.created",
    "submission.raw_read",
    "tenant.calendar_set",
    "tenant.created",
    "tenant.limits_set",
    "tenant.renamed",
    "tenant.retention_set",
    "user.changed",
    "user.created",
]
