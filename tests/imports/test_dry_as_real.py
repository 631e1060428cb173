"""A dry run of a list says of every row what importing it gives: verdict, reason, and the counts of both."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from tests.api import Api
from tests.imports.lists import Lists, make_lists, table
from tests.leads.test_consents import unsubscribing
from tests.merging.steps import merged

MARKETING = "email_marketing"
HEAD = ("Number", "Kind", "Name", "E-mail", "Phone", "Newsletter", "City", "Colour")
ADDRESSES = (
    "ana@x.example",
    "jan@x.example",
    "eva@x.example",
    "gone@x.example",
    "new@x.example",
    "office@x.example",
    "no address",
    "",
)
CELLS: tuple[tuple[str, ...], ...] = (
    ("1", "2", "3", ""),
    ("", "", "", "unsubscribe", "activity", "test", "spam", "ignore"),
    ("Ana Pop", "Jan Luk", ""),
    ADDRESSES,
    ("", "", "+40721555012", "+40721555013"),
    ("", "yes", "no", "perhaps"),
    ("", "Cluj", "Iasi"),
    ("", "red"),
)
ROWS = 14
ROUTE = [{"when": f"item.Kind == '{kind}'", "do": kind} for kind in ("activity", "test", "spam", "ignore")]
OVERRIDES: dict[str, Any] = {
    "route": [{"when": "item.Kind == 'unsubscribe'", "do": "consent"}, *ROUTE],
    "consent": [{"purpose": MARKETING, "expr": "item.Newsletter", "if_missing": None, "if_no": "withdrawn"}],
}
KEYED = {**OVERRIDES, "submission_key": "item.Number"}
ASKING = {"double_opt_in": {"purposes": [MARKETING]}}
WHOLE = {"consent": MARKETING, "consent_evidence": "a fair"}
OPTIONS: tuple[dict[str, str], ...] = ({}, {"entry": "suspect"}, WHOLE, {**WHOLE, "entry": "suspect"})
SOURCES: tuple[dict[str, Any], ...] = (
    {"overrides": OVERRIDES},
    {"overrides": KEYED},
    {"overrides": KEYED, "defaults": ASKING},
    {"overrides": KEYED, "defaults": {"entry": "suspect"}},
    {"overrides": OVERRIDES, "defaults": {"double_opt_in": {"purposes": [MARKETING], "ask": "always"}}},
)  # fmt: skip


async def prepare(api: Api) -> None:
    """Leads whose consents are given, refused and pending, one that was merged, and an unknown withdrawal."""
    for address, state in (("ana@x.example", "given"), ("eva@x.example", "refused")):
        said = [{"purpose": MARKETING, "state": state, "occurred_at": api.ago(days=3)}]
        await api.post("/v1/leads", {"fields": {"email": address}, "consents": said})
    asking = await make_lists(api, name="asks", defaults=ASKING)
    await asking.import_list(table(("E-mail", "Newsletter"), ("jan@x.example", "yes")))
    kept = await api.post("/v1/leads", {"fields": {"email": "kept@x.example"}})
    other = await api.post("/v1/leads", {"fields": {"email": "office@x.example", "full_name": "Ana Pop"}})
    await merged(api, other, kept)
    unsubscribes = await unsubscribing(api)
    await unsubscribes.post_and_process({"type": "unsubscribe", "email": "gone@x.example", "fired_at": api.ago(days=2)})


async def compare(lists: Lists, text: str, options: dict[str, str]) -> None:
    shown = await lists.post(text, dry_run="true", status=200, **options)
    made = await lists.import_list(text, **options)
    rows = await lists.rows(made)
    assert len(rows) == len(shown["first"])
    foreseen = [(row["row"], row["verdict"], row["reason"]) for row in shown["first"]]
    assert foreseen == [(row["row"], row["verdict"], row["reason"]) for row in rows]
    assert shown["counts"] == made["counts"]
    assert shown["reasons"] == Counter(row["reason"] for row in rows if row["reason"])


def some_rows(chance: Random) -> list[tuple[str, ...]]:
    return [tuple(chance.choice(cells) for cells in CELLS) for _ in range(ROWS)]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("source", SOURCES, ids=("rows", "keys", "asked", "suspects", "asked always"))
async def test_a_dry_run_says_of_every_row_what_the_import_gives(api: Api, source: dict[str, Any], seed: int) -> None:
    chance = Random(seed)
    await prepare(api)
    lists = await make_lists(api, name="lists", **source)
    for _ in range(4):
        text, options = table(HEAD, *some_rows(chance)), chance.choice(OPTIONS)
        await compare(lists, text + "too,many,cells,in,this,row,of,the,list,red\n", options)
        if chance.random() < 0.5:
            await compare(lists, text, options)
