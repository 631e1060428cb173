"""The entries by which a source or a list lets leads begin: those that a condition of the active policy names."""

from __future__ import annotations

from uuid import UUID

from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.policies.published import active_policy
from app.policy.check_conditions import roots
from app.policy.conditions import walk
from app.policy.document import Policy
from app.policy.words import EntryIs


async def check_entry(tx: Tx, tenant_id: UUID, entry: str | None, field: str) -> None:
    """Raises RequestInvalid for an entry that no condition of the active policy names: its leads would begin as all
    others do."""
    if entry is None:
        return
    known = entries((await active_policy(tx, tenant_id)).policy)
    if entry not in known:
        named = f"its entries are {', '.join(sorted(known))}" if known else "it has none"
        raise RequestInvalid.of(field, "entry_unknown", f"the active policy has no entry `{entry}`; {named}")


def entries(policy: Policy) -> frozenset[str]:
    """The entries that the conditions of a policy name."""
    nodes = [node for _, root, _ in roots(policy) for _, node, _ in walk(root)]
    values = [
        node.entry if isinstance(node.entry, tuple) else (node.entry,) for node in nodes if isinstance(node, EntryIs)
    ]
    return frozenset(word for one in values for word in one if word)
