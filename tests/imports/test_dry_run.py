"""A dry run of a list says what importing it would make, repeats included, and what is said of a list is checked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text as sql_text

from app.imports.rows import RowReader
from tests.api import Api
from tests.imports.lists import lead_of, make_lists, table, xlsx
from tests.submissions.sender import make_sender, person

KEYED: dict[str, Any] = {"overrides": {"submission_key": "item.Number"}}
HEAD = ("Number", "Name", "E-mail", "City")
ANA, ANA_MOVED = ("1", "Ana Pop", "ana@x.example", "Iași"), ("1", "Ana Pop", "ana@x.example", "Cluj")
JAN, OTHER = ("2", "Jan Łuk", "jan@x.example", ""), ("1", "Eva Nowak", "eva@x.example", "")
NOBODY = ("3", "", "", "Cluj")


@pytest.mark.parametrize(
    "files",
    [
        [[ANA, ANA]],
        [[ANA, ANA_MOVED, ANA_MOVED, ANA]],
        [[ANA, OTHER, OTHER, ANA_MOVED]],
        [[ANA, JAN], [ANA, JAN, NOBODY]],
        [[ANA, JAN], [ANA_MOVED, OTHER, NOBODY, JAN, ANA_MOVED]],
        [[NOBODY, NOBODY], [NOBODY]],
    ],
)
async def test_a_dry_run_counts_repeats_as_the_import_does(api: Api, files: list[list[tuple[str, ...]]]) -> None:
    lists = await make_lists(api, **KEYED)
    for rows in files:
        text = table(HEAD, *rows)
        shown = await lists.post(text, dry_run="true", status=200)
        made = await lists.import_list(text)
        assert shown["counts"] == made["counts"]
        assert [row["verdict"] for row in shown["first"]] == [row["verdict"] for row in await lists.rows(made)]


async def test_a_dry_run_of_a_file_that_was_imported_shows_its_rows_as_duplicates(api: Api) -> None:
    lists = await make_lists(api)
    text = table(("Name", "E-mail"), ("Ana", "ana@x.example"), ("Ana", "ana@x.example"), ("Nobody", ""))
    shown = await lists.post(text, dry_run="true", status=200)
    assert (shown["counts"], shown["equal_rows"]) == ({"lead": 2, "quarantined": 1}, 1)
    await lists.import_list(text)
    again = await lists.post(text, dry_run="true", status=200)
    assert again["counts"] == {"duplicate": 2, "quarantined": 1}
    assert [row["verdict"] for row in again["first"]] == ["duplicate", "duplicate", "quarantined"]
    other = await make_lists(api, name="another source")
    assert (await other.post(text, dry_run="true", status=200))["counts"] == {"lead": 2, "quarantined": 1}


@pytest.mark.parametrize(
    ("option", "field"),
    [
        ({"entry": "nope"}, "entry"),
        ({"entry": "suspects"}, "entry"),
        ({"entry": "Suspect"}, "entry"),
        ({"channel": "pigeon"}, "channel"),
        ({"delimiter": "colon"}, "delimiter"),
        ({"encoding": "klingon"}, "encoding"),
        ({"activity_type": "Bad Type"}, "activity_type"),
        ({"consent": "Bad Purpose", "consent_evidence": "x"}, "consent"),
        ({"consent": "phone"}, "consent_evidence"),
        ({"header_row": 0}, "header_row"),
        ({"header_row": "two"}, "header_row"),
        ({"dry_run": "maybe"}, "dry_run"),
        ({"unknown": "x"}, "unknown"),
        ({"name": "a\x00.csv"}, "name"),
        ({"campaign": "a\x00b"}, "campaign"),
    ],
)
async def test_what_is_said_of_a_list_is_checked_with_its_field(api: Api, option: dict[str, Any], field: str) -> None:
    lists = await make_lists(api)
    for more in ({}, {"dry_run": "true"}):
        refused = await lists.send(table(("E-mail",), ("ana@x.example",)), **{**more, **option})
        assert refused.status_code == 422, refused.text
        assert field in refused.json()["errors"][0]["field"]


async def test_the_entries_of_the_active_policy_are_taken_and_named(api: Api) -> None:
    lists = await make_lists(api)
    made = await lists.import_list(table(("E-mail",), ("ana@x.example",)), entry="suspect")
    assert made["counts"] == {"lead": 1}
    assert (await lead_of(api, "ana@x.example"))["stage"] == "suspect"
    refused = await lists.send(table(("E-mail",), ("b@x.example",)), entry="nope")
    assert refused.json()["errors"][0]["code"] == "entry_unknown"
    assert "suspect" in refused.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("text", "columns", "cells", "faults"),
    [
        ("Name,City,\nAna,Iași,\n", ["Name", "City"], {"Name": "Ana", "City": "Iași"}, False),
        (
            "Name,City,,\nAna,Iași,x\n",
            ["Name", "City", "column 3"],
            {"Name": "Ana", "City": "Iași", "column 3": "x"},
            False,
        ),
        ("Name,City,,\nAna,,,x\n", ["Name", "City", "column 3", "column 4"], {"Name": "Ana", "column 4": "x"}, False),
        (
            "column 3,City,\nAna,,x\n",
            ["column 3", "City", "column 3 (2)"],
            {"column 3": "Ana", "column 3 (2)": "x"},
            False,
        ),
        ("Name,City,\nPop, Ana,Iași,\n", ["Name", "City"], {"Name": "Pop", "City": " Ana", "column 3": "Iași"}, True),
        ("Name,City\nPop, Ana,Iași\n", ["Name", "City"], {"Name": "Pop", "City": " Ana", "column 3": "Iași"}, True),
        ("Name,City\nAna,Iași,,,\n", ["Name", "City"], {"Name": "Ana", "City": "Iași"}, False),
    ],
)
def test_a_column_without_a_name_at_the_end_is_kept_where_it_is_used_and_a_shifted_row_is_refused(
    text: str, columns: list[str], cells: dict[str, str], faults: bool
) -> None:
    reader = RowReader()
    reader.feed(text.encode())
    (row,) = reader.close()
    assert (reader.names, row.cells, row.fault is not None) == (columns, cells, faults)


async def test_a_remark_beside_the_columns_of_a_spreadsheet_is_kept_with_the_lead(api: Api) -> None:
    lists = await make_lists(api)
    cells = {"A1": "Name", "B1": "E-mail", "A2": "Ana Pop", "B2": "ana@x.example", "A3": "Jan Łuk", "C3": "call back"}
    made = await lists.import_list(xlsx({**cells, "C2": "met at the fair"}), "application/octet-stream")
    assert (made["columns"], made["counts"]) == (["Name", "E-mail", "column 3"], {"lead": 1, "quarantined": 1})
    assert (await lead_of(api, "ana@x.example"))["custom"] == {"column 3": "met at the fair"}
    assert b"column 3" in (errors := await lists.errors(made))
    assert b"call back" in errors
    assert (await lists.import_list(errors.replace(b"Jan \xc5\x81uk,", b"Jan,jan@x.example")))["counts"] == {"lead": 1}


@pytest.mark.parametrize("dry_run", ["true", "false"])
async def test_a_list_for_a_disabled_source_is_a_conflict_that_no_repeat_resolves(api: Api, dry_run: str) -> None:
    lists = await make_lists(api)
    path = f"/v1/sources/{lists.source['id']}"
    assert (await api.call("PATCH", path, {"enabled": False})).status_code == 200
    answer = await lists.send(table(HEAD, ANA), dry_run=dry_run)
    assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
    assert "Retry-After" not in answer.headers
    assert "enable" in answer.json()["detail"]
    assert (await api.client.post(f"/v1/ingest/{lists.source['key']}", json={})).status_code == 503
    assert (await api.call("PATCH", path, {"enabled": True})).status_code == 200
    assert (await lists.send(table(HEAD, ANA), dry_run=dry_run)).status_code == (200 if dry_run == "true" else 202)


@pytest.mark.parametrize("options", [{}, {"entry": "suspect"}, {"activity_type": "event_attended"}])
@pytest.mark.parametrize("defaults", [{}, {"entry": "suspect"}])
async def test_a_dry_run_shows_the_activities_that_the_import_records(
    api: Api, options: dict[str, str], defaults: dict[str, str]
) -> None:
    lists = await make_lists(api, defaults=defaults, **KEYED)
    text = table(HEAD, ANA, JAN, NOBODY, JAN, ANA_MOVED)
    for _ in range(2):
        before = await activities(api)
        shown = (await lists.post(text, dry_run="true", status=200, **options))["first"]
        await lists.import_list(text, **options)
        recorded = (await activities(api)) - before
        assert Counter(row["activity"]["type"] for row in shown if row["activity"]) == recorded


async def activities(api: Api) -> Counter[str]:
    """How many activities of each type are recorded."""
    async with api.app.state.engine.connect() as tx:
        return Counter((await tx.execute(sql_text("SELECT type FROM activities"))).scalars())


@pytest.mark.parametrize(
    ("item", "defaults", "type"),
    [
        ({}, {}, "form_fill"),
        ({}, {"entry": "suspect"}, None),
        ({"email": None}, {}, None),
        ({"test": True}, {}, None),
        ({"activity_type": "chat"}, {}, "chat"),
    ],
)
async def test_a_dry_run_of_a_source_shows_an_activity_only_where_one_is_recorded(
    api: Api, item: dict[str, Any], defaults: dict[str, str], type: str | None
) -> None:
    sender = await make_sender(api, defaults=defaults)
    body = person(**item) | {"name": None}
    path = f"/v1/sources/{sender.source['id']}/dry-run"
    ((shown,),) = (await api.post(path, {"body": body}, status=200)).values()
    await sender.post_and_process(body)
    assert (shown["activity"] or {}).get("type") == type
    assert await activities(api) == Counter([type] if type else [])
