"""Which files are read as lists, in which character sets, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.imports import body
from tests.api import Api
from tests.imports.lists import PEOPLE, Lists, lead_of, make_lists, ods, table, xlsx
from tests.submissions.sender import count


@pytest.mark.parametrize(
    ("sent", "content_type", "options"),
    [
        (PEOPLE.encode(), "text/csv", {}),
        (PEOPLE.encode(), "", {}),
        (b"\xef\xbb\xbf" + PEOPLE.replace(",", ";").encode(), "text/csv", {}),
        (PEOPLE.replace("ș", "ş").replace("Ț", "Ţ").encode("cp1250"), "text/csv; charset=windows-1250", {}),
        (PEOPLE.replace("ș", "ş").replace("Ț", "Ţ").encode("cp1250"), "text/csv", {"encoding": "cp1250"}),
        (PEOPLE.encode("utf-16"), "application/vnd.ms-excel", {}),
    ],
    ids=["UTF-8", "no type", "semicolons", "charset of the type", "charset of the query", "UTF-16"],
)
async def test_a_list_is_read_in_its_character_set(api: Api, sent: bytes, content_type: str, options: Any) -> None:
    lists = await make_lists(api)
    done = await lists.import_list(sent, content_type, **options)
    assert (done["counts"], done["text_guessed"]) == ({"lead": 2, "quarantined": 1}, False)
    assert (await lead_of(api, "jan@acme.example"))["fields"]["last_name"] == "Łuk"


async def test_text_in_no_known_set_is_guessed_and_says_so(api: Api) -> None:
    lists = await make_lists(api)
    sent = table(("Name", "E-mail"), ("Jörg Müller", "jm@acme.example")).encode("cp1252")
    assert (await lists.import_list(sent))["text_guessed"] is True
    (submission,) = (await api.get("/v1/submissions"))["data"]
    (item,) = (await api.get(f"/v1/submissions/{submission['id']}"))["items"]
    assert "text_guessed" in item["mapped"]["flags"]
    assert (await lead_of(api, "jm@acme.example"))["fields"]["last_name"] == "Müller"


WORKBOOK = xlsx(
    {
        "B2": "Company",
        "C2": "Name",
        "D2": "E-mail",
        "E2": "Telephone",
        "B3": "Acme",
        "C3": "Ana Țepeș",
        "D3": "ana@acme.example",
        "E3": 40787546854.0,
        "C4": "Jan Łuk",
        "D4": "jan@acme.example",
    },
    merged=("B3:B4",),
)
OPEN_DOCUMENT = ods((), (), ("Company", "Name", "E-mail"), ("Acme", "Ana Țepeș", "ana@acme.example"))
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


async def test_a_workbook_is_read_with_its_numbers_and_merged_cells(api: Api) -> None:
    lists = await make_lists(api, defaults={"region": "RO"})
    made = await lists.import_list(WORKBOOK, XLSX_TYPE)
    assert [(row["row"], row["verdict"]) for row in await lists.rows(made)] == [(3, "lead"), (4, "lead")]
    assert made["columns"] == ["column 1", "Company", "Name", "E-mail", "Telephone"]
    ana, jan = await lead_of(api, "ana@acme.example"), await lead_of(api, "jan@acme.example")
    assert ana["raw"]["phone"] == "40787546854"
    assert ana["fields"]["company"] == jan["fields"]["company"] == "Acme", "one cell over two rows"


async def test_a_workbook_is_known_by_its_first_bytes_however_few_arrive_at_once(api: Api) -> None:
    lists = await make_lists(api)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, 6, 3):
            yield WORKBOOK[start : start + 3]
        yield WORKBOOK[6:]

    assert (await lists.import_list(pieces(), "application/octet-stream"))["counts"] == {"lead": 2}


async def test_an_opendocument_spreadsheet_is_read(api: Api) -> None:
    lists = await make_lists(api)
    made = await lists.import_list(OPEN_DOCUMENT, "application/vnd.oasis.opendocument.spreadsheet", sheet="People")
    assert [(row["row"], row["verdict"]) for row in await lists.rows(made)] == [(4, "lead")]


HUGE = xlsx({"A1": "E-mail", "XFD1048576": "x"})
REFUSED: dict[str, tuple[Any, str, dict[str, Any], int, str]] = {
    "empty": (b"", "text/csv", {}, 422, "list_invalid"),
    "no names": ("a@x.example,Ana\n", "text/csv", {}, 422, "list_invalid"),
    "JSON": (b"[]", "application/json", {}, 415, "unsupported_media_type"),
    "a form with a file": (b"--x", "multipart/form-data; boundary=x", {}, 415, "unsupported_media_type"),
    "a damaged workbook": (WORKBOOK[:700], XLSX_TYPE, {}, 422, "list_invalid"),
    "a workbook that unpacks to 17 thousand million cells": (HUGE, XLSX_TYPE, {}, 422, "list_invalid"),
    "a sheet that is not there": (WORKBOOK, XLSX_TYPE, {"sheet": "Nobody"}, 422, "request_invalid"),
    "consent without evidence": (PEOPLE, "text/csv", {"consent": "email_marketing"}, 422, "request_invalid"),
    "a purpose that is none": (
        PEOPLE,
        "text/csv",
        {"consent": "E mail", "consent_evidence": "x"},
        422,
        "request_invalid",
    ),
    "a set that is unknown": (PEOPLE, "text/csv", {"encoding": "rot13"}, 422, "request_invalid"),
    "a parameter that is unknown": (PEOPLE, "text/csv", {"dryrun": "true"}, 422, "request_invalid"),
}


@pytest.mark.parametrize(("sent", "content_type", "options", "status", "code"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("dry_run", ["false", "true"])
async def test_what_is_no_list_is_refused_and_leaves_nothing(
    api: Api, sent: Any, content_type: str, options: dict[str, Any], status: int, code: str, dry_run: str
) -> None:
    lists = await make_lists(api)
    answer = await lists.send(sent, content_type, dry_run=dry_run, **options)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["detail"]
    assert await count(api, "SELECT (SELECT count(*) FROM imports) + (SELECT count(*) FROM submissions)") == 0


async def test_a_source_that_does_not_exist_is_a_404_and_a_packed_body_a_415(api: Api) -> None:
    lists = Lists(api, {"id": "src_01kj7jrys5fgynx40zc4zks2gf"})
    assert (await lists.send(PEOPLE)).json()["code"] == "source_not_found"
    lists = await make_lists(api)
    assert (await lists.send(PEOPLE, headers={"Content-Encoding": "gzip"})).status_code == 415


async def test_a_list_that_is_larger_than_allowed_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = await make_lists(api)
    monkeypatch.setattr(body, "MAX_LIST", 100)
    assert (await lists.send(PEOPLE)).status_code == 413
    monkeypatch.setattr(body, "MAX_SPREADSHEET", 100)
    monkeypatch.setattr(body, "MAX_LIST", 100_000)
    assert (await lists.send(WORKBOOK, XLSX_TYPE)).status_code == 413
    assert await count(api, "SELECT count(*) FROM imports") == 0
