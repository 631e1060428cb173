"""Through which channel somebody came: one of a fixed list of words, beside source, medium and campaign of a touch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, cast, get_args

from app.matching.text import fold

Channel = Literal[
    "web_form",
    "phone",
    "chat",
    "social",
    "email",
    "referral",
    "purchased_list",
    "trade_show",
    "webinar",
    "event",
    "partner",
    "import",
    "api",
]
CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)
# They name the way in which a lead was handed over, and not where somebody came from.
DOORS: Final[frozenset[Channel]] = frozenset({"web_form", "import", "api"})
# Members of a touch that name a record: its kind, and the channel where none is said.
REFERENCES: Final[Mapping[str, tuple[str, Channel]]] = {
    "referred_by_contact_id": ("contact", "referral"),
    "partner_account_id": ("account", "partner"),
}
RAW: Final = "_raw"  # ends the name under which a value is kept that is no channel, or names no record
_JOINED: Final = {channel.replace("_", ""): channel for channel in CHANNELS}


def read_channel(typed: str) -> Channel | None:
    """The channel that a text names, whatever its case, blanks and hyphens (`Trade Show`, `e-mail`); else None."""
    return _JOINED.get(fold(typed).replace(" ", ""))


def with_read_channel(touch: Mapping[str, str]) -> dict[str, str]:
    """The touch with its channel as a word of the list; what names none is kept as `channel_raw`."""
    read = dict(touch)
    typed = read.pop("channel", None)
    if typed is None:
        return read
    channel = read_channel(typed)
    return {**read, **({"channel": channel} if channel else {f"channel{RAW}": typed})}


def channel_of(touch: Mapping[str, Any], default: Channel | None) -> Channel | None:
    """The channel of a touch: the one it says, that of who referred or which partner it names, else the default."""
    if said := touch.get("channel"):
        return cast(Channel, said)
    return next((channel for name, (_, channel) in REFERENCES.items() if touch.get(name)), default)
