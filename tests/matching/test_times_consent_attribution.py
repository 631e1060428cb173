"""Instants in declared formats, consent from words, attribution from layers."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.matching.attribution import attributed, from_hidden_fields, from_page_url
from app.matching.consent import read_consent
from app.matching.times import read_instant, zone

NOW = datetime(2026, 8, 17, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "formats", "expected"),
    [
        ("2026-08-17T09:00:14Z", ["iso"], "2026-08-17T09:00:14"),
        ("2026-08-17T09:00:14+0200", ["iso"], "2026-08-17T07:00:14"),
        ("2026-08-17", ["iso"], "2026-08-16T21:00:00"),
        ("2026-08-17 09:00:14", ["iso"], "2026-08-17T06:00:14"),
        (1786990000000, ["epoch"], "2026-08-17T18:06:40"),
        ("1786990000", ["iso", "epoch"], "2026-08-17T18:06:40"),
        ("05/06/2026", ["dmy"], "2026-06-04T21:00:00"),
        ("05/06/2026", ["mdy"], "2026-05-05T21:00:00"),
        ("11.05.2026 10:42 PM", ["mdy"], None),
        ("05/11/2026 10:42 PM", ["mdy"], "2026-05-11T19:42:00"),
        ("Aug 17, 2026 09:00AM", ["iso", "%b %d, %Y %I:%M%p"], "2026-08-17T06:00:00"),
        ("17 sierpnia 2026", ["iso", "dmy"], None),
        ("05/06/2026", ["iso"], None),
        ("1999-12-31T00:00:00Z", ["iso"], None),
        ("2026-08-19T12:00:00Z", ["iso"], None),
        ("9999-12-31T23:59:59-12:00", ["iso"], None),
        ("0001-01-01T00:00:00+14:00", ["iso"], None),
        ("9" * 19, ["epoch"], None),
        (True, ["epoch"], None),
        (["2026-08-17"], ["iso"], None),
    ],
)
def test_a_time_is_read_by_declared_formats_only(typed: Any, formats: list[str], expected: str | None) -> None:
    found = read_instant(typed, formats, zone("Europe/Bucharest"), NOW)
    assert found == (datetime.fromisoformat(expected).replace(tzinfo=UTC) if expected else None)


@given(typed=st.text(max_size=30) | st.integers() | st.floats() | st.none())
def test_reading_a_time_never_raises(typed: Any) -> None:
    found = read_instant(typed, ["iso", "epoch", "dmy", "mdy", "%d %B %Y"], UTC, NOW)
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("state", "answers"),
    [
        (
            "given",
            [
                True,
                1,
                "1",
                "on",
                "YES",
                "tak",
                "da",
                "ja",
                "да",
                "oui",
                "sí",
                "Accepted",
                "Zgadzam",
                "I consent to having this website store my submitted information.",
                "Sunt de acord",
                ["I agree to be contacted"],
                [False, True],
            ],
        ),
        (
            "refused",
            [
                False,
                0,
                "0",
                "off",
                "No",
                "nie",
                "nu",
                "nein",
                "нет",
                "I do not want any mail",
                "Nie wyrażam zgody",
                [False],
            ],
        ),
        ("unknown", [None, "", "  ", [], {}, {"a": True}, "maybe", "{{consent}}", "null", "2"]),
    ],
)
def test_an_answer_about_consent_is_given_refused_or_unknown(state: str, answers: list[Any]) -> None:
    assert [(answer, read_consent(answer, "process")) for answer in answers] == [(answer, state) for answer in answers]


@pytest.mark.parametrize("value", ["{{utm}}", "{campaign}", "(not set)", "null", "", "  ", None, "${x}"])
def test_an_unresolved_template_counts_as_empty(value: Any) -> None:
    assert attributed({"source": value}, {"source": "next"}) == {"source": "next"}


def test_hidden_fields_and_pages_give_utm_values_and_click_ids() -> None:
    assert from_hidden_fields({"utm_source": "a", "utm_id": "1", "gclid": "g", "name": "n"}) == {
        "source": "a",
        "campaign_id": "1",
        "gclid": "g",
    }
    assert from_page_url("https://x.example/?utm_source=a&utm_source=b#c")["source"] == "a"
    assert from_page_url("javascript:alert(1)") == {}
    assert from_page_url("http://[x") == {"landing_page": "http://[x"}
    assert from_hidden_fields(["x"]) == {}


def test_the_first_hundred_boxes_of_a_question_are_read() -> None:
    assert read_consent([""] * 99 + ["yes"], "process") == "given"
    assert read_consent([""] * 100 + ["yes"], "process") == "unknown"


@pytest.mark.parametrize(
    "nowhere", ["direct", "(direct)", "about:blank", "-", "(none)", "[utm_source]", "(not set)", "Direct"]
)
@pytest.mark.parametrize("name", ["source", "medium", "referrer"])
def test_a_visit_from_nowhere_has_no_origin(name: str, nowhere: str) -> None:
    assert attributed({name: nowhere}, {name: "next.example"}) == {name: "next.example"}


@pytest.mark.parametrize(
    ("page", "referrer", "kept"),
    [
        ("https://www.acme.com/demo", "https://acme.com/", False),
        ("http://shop.acme.co.uk/x", "https://www.acme.co.uk/contact", False),
        ("https://acme.com/demo", "https://news.example/acme.com", True),
        ("https://acme.github.io/", "https://other.github.io/", True),
        ("https://acme.com/demo", "android-app://com.google", True),
        ("", "https://acme.com/", True),
    ],
)
def test_a_referrer_of_the_own_site_is_none(page: str, referrer: str, kept: bool) -> None:
    found = attributed({"referrer": referrer}, from_page_url(page))
    assert ("referrer" in found) == kept
