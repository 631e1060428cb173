"""The contact that referred somebody and the account of a partner, as a touch names them; and its channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.errors import AccountNotFound, ContactNotFound, NotFound, RequestInvalid
from app.leads import sql
from app.matching.channel import CHANNELS, RAW, REFERENCES
from app.web.fields import EXAMPLES

Unknown = frozenset[tuple[str, str]]
NOT_FOUND: Mapping[str, type[NotFound]] = {"contact": ContactNotFound, "account": AccountNotFound}


async def unknown_references(tx: Tx, tenant_id: UUID, touches: Iterable[Mapping[str, str]]) -> Unknown:
    """What these touches give as the id of a contact or account, and is none of the tenant's: member and text."""
    given = {(name, touch[name]) for touch in touches for name in REFERENCES if touch.get(name)}
    if not given:
        return frozenset()
    read: dict[tuple[str, str], UUID] = {}
    for name, text in given:
        with suppress(ValueError):
            read[name, text] = ids.read(REFERENCES[name][0], text)
    contacts, accounts = ([read[one] for one in read if REFERENCES[one[0]][0] == kind] for kind in NOT_FOUND)
    known = await sql.known_records(tx, tenant_id, contacts, accounts)
    return frozenset(one for one in given if read.get(one) not in known)


def check_attribution(touch: Mapping[str, str], unknown: Unknown, place: str = "attribution") -> None:
    """Raises RequestInvalid for a channel or id that is none, ContactNotFound or AccountNotFound for an unknown one."""
    channel = touch.get("channel")
    if channel and channel not in CHANNELS:
        detail = f"there is no channel of this name; channels are {', '.join(CHANNELS)}"
        raise RequestInvalid.of(f"{place}.channel", "channel_unknown", detail)
    for name, (kind, _) in REFERENCES.items():
        if (name, touch.get(name)) not in unknown:
            continue
        try:
            ids.read(kind, touch[name])
        except ValueError:
            detail = f"the id of a {kind} looks like {EXAMPLES[kind]}"
            raise RequestInvalid.of(f"{place}.{name}", "id_malformed", detail) from None
        raise NOT_FOUND[kind].of(f"{place}.{name}", f"there is no {kind} {touch[name]}")


def with_unknown_apart(touch: Mapping[str, str], unknown: Unknown) -> dict[str, str]:
    """The touch with what names no record under the name that says so: `partner_account_id_raw`."""
    return {f"{name}{RAW}" if (name, value) in unknown else name: value for name, value in touch.items()}
