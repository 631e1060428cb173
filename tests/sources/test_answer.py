"""The response that a document sets, and redirects to allowed hosts only."""

from typing import Any
from urllib.parse import quote

import pytest

from app.sources.answer import Answer, answer, filled
from app.sources.preset import make_document
from tests.payloads.samples import sample

THANKS = "https://www.example.com/thanks.html"


def answered(allow_hosts: list[str], to: str | None = None, headers: dict[str, str] | None = None) -> Answer | None:
    one = sample("46")
    body = b"retURL=" + quote(to, safe="").encode() if to is not None else one.request().body
    document = one.document(respond={"allow_hosts": allow_hosts})
    return answer(document, one.request(body=body, headers=one.entry["headers"] | (headers or {})))


def test_a_browser_is_redirected_to_the_url_in_the_form_when_its_host_is_allowed() -> None:
    assert answered(["www.example.com"]) == Answer(302, location=THANKS)
    assert answered(["*.example.com"]) == Answer(302, location=THANKS)
    assert answered(["www.example.com."]) == answered(["*.example.com."]) == Answer(302, location=THANKS)
    with_point = "https://www.example.com./thanks.html"
    assert answered(["www.example.com"], with_point) == Answer(302, location=with_point)
    assert answered([]) is None
    assert answered(["example.com", "other.example"]) is None


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//www.example.com",
        "javascript:alert(1)",
        "https://www.example.com@evil.example/",
        "https://evil.example\\www.example.com",
        "https://www.example.com.evil.example",
        "data:text/html,x",
        "",
        "https://www.example.com\r\nSet-Cookie: a=b",
        "https://[www.example.com",
        "ftp://www.example.com/",
        "https://www.example.com:8443/",
    ],
)
def test_a_redirect_to_any_other_host_is_refused(to: str) -> None:
    assert answered(["www.example.com"], to) is None


def test_a_client_that_accepts_json_is_not_redirected() -> None:
    assert answered(["www.example.com"], headers={"Accept": "application/json"}) is None
    assert answered(["www.example.com"], headers={"Accept": "text/html,application/json;q=0.9"}) is not None


@pytest.mark.parametrize(
    ("respond", "expected"),
    [
        ({"redirect": "https://example.com/thanks"}, Answer(303, location="https://example.com/thanks")),
        ({"redirect": "thanks"}, None),
        ({"body": {"status": "ok"}}, Answer(200, {"status": "ok"})),
        ({}, None),
    ],
)
def test_a_document_sets_the_response(respond: dict[str, Any], expected: Answer | None) -> None:
    assert answer(make_document("html-form", {"respond": respond}), sample("52").request()) == expected


VALUES = {"submission_id": "sub_1", "lead_id": None, "stage": "mql"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{submission_id}", "sub_1"),
        ("{lead_id}", None),
        ("{verdict}", None),
        ("lead {lead_id} is {stage}", "lead  is mql"),
        ({"a": ["{stage}", 1, None, {"b": "{submission_id}!"}]}, {"a": ["mql", 1, None, {"b": "sub_1!"}]}),
        ("{other} {{stage}} {", "{other} {mql} {"),
        ("", ""),
        ("{", "{"),
        ("{}", "{}"),
        (True, True),
    ],
)
def test_a_body_is_filled_with_what_is_known(body: Any, expected: Any) -> None:
    assert filled(body, VALUES) == expected
