"""What people and spreadsheets write becomes the value that was meant; the text stays in `raw` (typed.yaml)."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.matching.normalize import RAW, normalize
from app.matching.phone import read_phones
from app.matching.text import plain, unescape
from tests.api import Api
from tests.submissions.sender import make_sender, process

ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("typed.yaml").read_text("utf-8"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['field']} {row['typed']}")
def test_a_typed_value_is_read_as_the_table_says(row: dict[str, Any]) -> None:
    person = normalize({row["field"]: row["typed"]}, {}, row.get("region"))
    assert person.fields.get(row["field"]) == row["value"]
    assert person.custom.get("phone_extension") == row.get("extension")
    if row["field"] == "phone":
        assert person.phone_status == ("valid" if row["value"] else "invalid")


async def test_the_table_holds_for_submissions_and_posted_leads(api: Api) -> None:
    for region in {row.get("region") for row in ROWS}:
        rows = [row for row in ROWS if row.get("region") == region]
        sender = await make_sender(api, defaults={"region": region} if region else {})
        for n, row in enumerate(rows):
            ids = {"crm": f"{region}-{n}"}
            body = {"fields": {row["field"]: row["typed"]}, "external_ids": {"api": ids["crm"]}}
            # Rows with one address or number are one lead; each of them shows the value.
            posted = (await api.call("POST", "/v1/leads", {**body, "source_id": sender.source["id"]})).json()
            await sender.post({row["field"]: row["typed"], "external_ids": ids})
            await process(api)
            (sent,) = (await api.get(f"/v1/leads?external_id=crm:{ids['crm']}"))["data"]
            for lead in (posted, sent):
                assert lead["fields"][row["field"]] == row["value"], row
                if row["field"] in RAW:
                    assert lead["raw"][row["field"]], row
                elif html.unescape(row["typed"]) != row["typed"] and "&copy" not in row["typed"]:
                    assert lead["raw"][row["field"]] == row["typed"].strip(), row
                if row["field"] == "phone":
                    assert lead["phone_status"] in (("valid", "shared") if row["value"] else ("invalid",)), row


async def test_raw_follows_the_value_that_is_shown(api: Api) -> None:
    lead = await api.lead(email="raw@acme.example", company="Smith &amp; Sons", phone="12E+9")
    assert (lead["fields"]["company"], lead["raw"]["company"]) == ("Smith & Sons", "Smith &amp; Sons")
    assert (lead["fields"]["phone"], lead["raw"]["phone"], lead["phone_status"]) == (None, "12E+9", "invalid")
    before = api.now
    again = await api.lead(email="raw@acme.example", company="Other &lt;", phone="+40 722 123 456")
    assert again["raw"]["company"] == "Smith &amp; Sons", "the second company was not taken"
    assert (again["fields"]["phone"], again["raw"]["phone"]) == ("+40722123456", "+40 722 123 456")
    assert again["phone_status"] == "valid"
    patched = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"company": "Smith", "phone": None}})
    assert patched.json()["raw"] == {"email": "raw@acme.example", "phone": None, "country": None}
    assert patched.json()["fields"]["phone"] is None
    past = await api.get(f"/v1/leads/{lead['id']}?as_of={before.isoformat().replace('+00:00', 'Z')}")
    assert (past["raw"]["company"], past["phone_status"]) == ("Smith &amp; Sons", "invalid")


PIECES = st.sampled_from(
    ["&", "amp;", "&amp;", "&#38;", "&#x26;", "lt;", "#", "x", "1", ";", "&nbsp;", "&#xD800;", "ä"]
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_undoing_entities_undoes_exactly_one_layer(text: str) -> None:
    assert unescape(html.escape(text)) == text
    assert "&" in text or unescape(text) == text


@given(st.text(max_size=30))
def test_plain_text_is_unchanged_when_it_is_made_plain_again(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert all(one.isascii() or one in text for one in once)


DIGITS = st.sampled_from("0123456789")
LETTERS = st.sampled_from("OoIlLSBZОІäx")


@given(st.text(DIGITS, min_size=7, max_size=10), LETTERS, st.data())
def test_a_number_with_one_letter_inside_is_no_number(digits: str, letter: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(digits) - 1))
    typed = f"+4{digits[:place]}{letter}{digits[place:]}"
    if letter != "x":  # which begins an extension
        assert read_phones(typed, [None]) == ()
