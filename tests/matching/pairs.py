"""The table of pairs of arrivals with one telephone number (pairs.yaml)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Pair:
    """Two arrivals as canonical fields; `reason` is why they are two leads, None for one."""

    one: dict[str, str]
    other: dict[str, str]
    reason: str | None

    def __str__(self) -> str:
        return f"{self.one} / {self.other}"


def pairs() -> list[Pair]:
    """The pairs of the table, each with a number and addresses that no other pair has."""
    rows = yaml.safe_load(Path(__file__).with_name("pairs.yaml").read_text("utf-8"))
    return [Pair(_fields(row["one"], n), _fields(row["other"], n), row.get("not")) for n, row in enumerate(rows)]


def _fields(row: dict[str, Any], n: int) -> dict[str, str]:
    named = {"full_name" if name == "name" else name: value for name, value in row.items()}
    numbered = {"phone": f"+40722{123_000 + n}", **named}
    return {name: value.format(n=n) for name, value in numbered.items() if value is not None}
