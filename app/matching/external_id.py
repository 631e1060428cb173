"""External ids: the form in which they are compared, and `namespace:value` as one text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from app.matching.person import Identity
from app.matching.words import external_id_forms

_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_FIFTEEN: Final = re.compile(r"([A-Za-z0-9]{15})([A-Za-z0-5]{3})?", re.ASCII)


def external_identity(namespace: str, value: str, *, primary: bool = False) -> Identity:
    """The identity of an external id, its value in the form that is compared in this namespace."""
    for start, form in external_id_forms():
        if namespace.casefold().startswith(start):
            value = _FORMS[form](value)
    return Identity("external", namespace, value, primary)


def readings(named: str) -> tuple[Identity, ...]:
    """The external ids that `namespace:value` may mean: both parts may contain colons. The longest namespace first."""
    parts = named.split(":")
    return tuple(external_identity(":".join(parts[:n]), ":".join(parts[n:])) for n in range(len(parts) - 1, 0, -1))


def _fifteen_or_eighteen(value: str) -> str:
    """The 18-character form of an id that is case-sensitive in 15 characters; other text as it is.

    The last three characters tell which of the others are capitals, so an id that lost its case is restored by them.
    """
    match = _FIFTEEN.fullmatch(value)
    if match is None:
        return value
    record, suffix = match.groups()
    if suffix and (record.isupper() or record.islower()):
        record = _with_case(record, suffix.upper()) or record
    return record + _suffix(record)


def _suffix(record: str) -> str:
    """One character for each five: bit n is set where character n is a capital."""
    chunks = (record[start : start + 5] for start in (0, 5, 10))
    return "".join(_DIGITS[sum(c.isupper() << n for n, c in enumerate(chunk))] for chunk in chunks)


def _with_case(record: str, suffix: str) -> str | None:
    """The record with the upper-case letters that the suffix encodes; None if it marks a digit as one."""
    capitals = [_DIGITS.index(suffix[n // 5]) >> n % 5 & 1 for n in range(15)]
    restored = "".join(c.upper() if capital else c.lower() for c, capital in zip(record, capitals, strict=True))
    return restored if _suffix(restored) == suffix else None


_FORMS: Final[Mapping[str, Callable[[str], str]]] = {"fifteen_or_eighteen": _fifteen_or_eighteen}
