"""The names of people and accounts in place of their ids, for pictures of reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.reports import sql
from app.reports.formats import Formats
from app.web.accept import best

PICTURE: Final = "image/svg+xml"
KINDS: Final = {"owner": "user", "account": "account"}  # the records whose ids are the keys of groups, by `by`
END_OF_ID: Final = 6  # letters that tell two of one name apart


async def named(
    tx: Tx, tenant_id: UUID, document: Mapping[str, Any], by: str | None, accept: str, formats: Formats
) -> Mapping[str, Any]:
    """The report, where it is asked for as a picture with names as the keys of its groups: those of the instant."""
    if by not in KINDS or best(accept, tuple(formats)) != PICTURE:
        return document
    as_of = datetime.fromisoformat(document["as_of"])
    by_id = {ids.read(KINDS[by], group["key"]): group["key"] for group in document["groups"] if group["key"]}
    names = await sql.names(tx, tenant_id, KINDS[by], list(by_id), as_of)
    by_key = distinct({by_id[row.id]: row.name for row in names})
    return {**document, "groups": [{**one, "key": by_key.get(one["key"], one["key"])} for one in document["groups"]]}


def distinct(names: Mapping[str, str]) -> dict[str, str]:
    """The names by key; where several have one name, each with the end of its key."""
    count = Counter(names.values())
    return {key: name if count[name] == 1 else f"{name} …{key[-END_OF_ID:]}" for key, name in names.items()}
