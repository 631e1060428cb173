"""The document of a policy as it is stored: checked, in one form, with its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.errors import PolicyHasFaults
from app.policy.document import Policy
from app.policy.fault import escaped
from app.policy.read import read_document


@dataclass(frozen=True, slots=True)
class Document:
    """A sound policy, what is stored of it, and the hash that approvals refer to."""

    policy: Policy
    stored: dict[str, Any]
    sha256: str

    @classmethod
    def of(cls, policy: Policy) -> Document:
        stored = policy.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return cls(policy, stored, hashlib.sha256(orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)).hexdigest())

    @property
    def columns(self) -> dict[str, Any]:
        """What a policy's row has of it."""
        return {"name": self.policy.name, "document": self.stored, "sha256": self.sha256}


def read_policy(data: Mapping[str, Any]) -> Document:
    """The document of parsed JSON. Raises PolicyHasFaults, which names the place of each fault."""
    found = read_document(data)
    if isinstance(found, Policy):
        return Document.of(found)
    detail = (
        f"The policy document has {len(found)} fault{'s' * (len(found) > 1)}; `errors` lists what is wrong and where."
    )
    raise PolicyHasFaults(detail, errors=[fault.entry for fault in found])


def named_teams(node: object, place: str = "") -> Iterator[tuple[str, str]]:
    """(place, team) of each `team` in this part of a document, of each of its `teams` and of each key of `weights`."""
    if isinstance(node, Mapping):
        for name, member in node.items():
            if name == "team" and isinstance(member, str):
                yield f"{place}/{name}", member
            elif name == "teams" and isinstance(member, Sequence) and not isinstance(member, str):
                yield from ((f"{place}/{name}/{n}", one) for n, one in enumerate(member) if isinstance(one, str))
            elif name == "weights" and isinstance(member, Mapping):
                yield from ((f"{place}/{name}/{escaped(team)}", team) for team in member)
            else:
                yield from named_teams(member, f"{place}/{name}")
    elif isinstance(node, list):
        for n, item in enumerate(node):
            yield from named_teams(item, f"{place}/{n}")
