"""A secret that the document of a source would never use is refused, so that no source is verified by belief alone."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from app.sources.document import usable_secrets
from app.sources.preset import make_document, preset_names
from app.sources.secret_faults import secret_faults
from tests.api import Api

TOKEN = {"kind": "token", "in": "header", "name": "X-T"}
HMAC = {"kind": "hmac", "header": "X-S"}
ECHO = {"kind": "echo", "param": "c", "token_param": "t"}
FETCH = {"url": "https://a.example/{item.id}", "auth": "api"}
BOT = {"url": "https://a.example/verify", "field": "token"}


CASES: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({}, {"signing": "s"}, "secret_unused"),
    ({}, {"signing": ["s", "t"]}, "secret_unused"),
    ({}, {"basic": "me:pass"}, "secret_unused"),
    ({}, {"verify_token": "v"}, "secret_unused"),
    ({}, {"bot_check": "b"}, "secret_unused"),
    ({}, {"api": "a"}, "secret_unused"),
    ({}, {}, None),
    ({"verify": [HMAC]}, {"signing": "s"}, None),
    ({"verify": [HMAC]}, {"signing": ["s", "t"]}, None),
    ({"verify": [HMAC]}, {"sining": "s"}, "secret_unused"),
    ({"verify": [HMAC]}, {"token": "s"}, "secret_unused"),
    ({"verify": [{**HMAC, "secret": "theirs"}]}, {"theirs": "s"}, None),
    ({"verify": [{**HMAC, "secret": "theirs"}]}, {"signing": "s"}, "secret_unused"),
    ({"verify": [HMAC], "open_without_secrets": True}, {"signing": "s"}, None),
    ({"verify": [HMAC, TOKEN]}, {"token": "t"}, None),
    ({"handshake": ECHO}, {"verify_token": "v"}, None),
    ({"handshake": ECHO}, {"signing": "s"}, "secret_unused"),
    ({"handshake": {"kind": "echo", "param": "c"}}, {"verify_token": "v"}, "secret_unused"),
    ({"handshake": {**ECHO, "secret": "mine"}}, {"mine": "v"}, None),
    ({"handshake": {"kind": "hmac_echo", "param": "c"}}, {"signing": "s", "verify_token": "v"}, None),
    ({"handshake": {"kind": "hmac_echo", "param": "c", "secret": "c"}}, {"c": "s"}, None),
    ({"handshake": {"kind": "hmac_echo", "param": "c"}}, {"token": "s"}, "secret_unused"),
    ({"handshake": {"kind": "ok", "token_param": "t"}}, {"verify_token": "v"}, "secret_unused"),
    ({"bot_check": BOT}, {"bot_check": "b"}, None),
    ({"bot_check": BOT}, {"token": "b"}, "secret_unused"),
    ({"fetch": FETCH}, {"api": "t"}, None),
    ({"fetch": FETCH}, {"signing": "t"}, "secret_unused"),
    ({"verify": [{"kind": "basic"}]}, {"basic": "me:pass"}, None),
    ({"verify": [{"kind": "basic"}]}, {"basic": ":"}, None),
    ({"verify": [{"kind": "basic"}]}, {"basic": "pass"}, "secret_invalid"),
    ({"verify": [{"kind": "basic"}]}, {"basic": ["me:pass", "pass"]}, "secret_invalid"),
    ({"verify": [{"kind": "basic"}, {**TOKEN, "secret": "basic"}]}, {"basic": "pass"}, None),
    ({"verify": [{"kind": "basic", "secret": "api"}], "fetch": FETCH}, {"api": "pass"}, None),
    ({"verify": [{"kind": "basic", "secret": "api"}], "fetch": FETCH}, {"api": "me:pass\n"}, None),
    ({"verify": [{"kind": "basic", "secret": "api"}], "fetch": FETCH}, {"api": "pass\n"}, "secret_invalid"),
    ({"fetch": FETCH}, {"api": "t\n"}, "secret_invalid"),
    ({"fetch": FETCH}, {"api": ["t", "t\r\nX: y"]}, "secret_invalid"),
    ({"verify": [{**TOKEN, "secret": "c"}], "bot_check": {**BOT, "secret": "c"}}, {"c": "a\n"}, None),
    ({"verify": [{**TOKEN, "secret": "verify_token"}], "handshake": ECHO}, {"verify_token": "a\n"}, None),
    ({"verify": [TOKEN]}, {"token": "a b"}, None),
    ({"verify": [TOKEN]}, {"token": "ключ"}, None),
    ({"verify": [TOKEN]}, {"token": "a\n"}, "secret_invalid"),
    ({"verify": [TOKEN]}, {"token": "a\nb"}, "secret_invalid"),
    ({"verify": [TOKEN]}, {"token": "a\r"}, "secret_invalid"),
    ({"verify": [TOKEN]}, {"token": "a\tb"}, None),
    ({"verify": [TOKEN]}, {"token": "a\t"}, "secret_invalid"),
    ({"verify": [TOKEN]}, {"token": " a"}, "secret_invalid"),
    ({"verify": [{**TOKEN, "prefix": "Bearer "}]}, {"token": " a"}, None),
    ({"verify": [{**TOKEN, "prefix": "Bearer "}]}, {"token": "a "}, "secret_invalid"),
    ({"verify": [{**TOKEN, "in": "query"}]}, {"token": " a"}, None),
    ({"verify": [{**TOKEN, "in": "body"}]}, {"token": "a\nb"}, None),
    ({"verify": [{**HMAC, "key_encoding": "base64"}]}, {"signing": "whsec_c2VjcmV0"}, None),
    ({"verify": [{**HMAC, "key_encoding": "base64"}]}, {"signing": "no base 64"}, "secret_invalid"),
    ({"verify": [{**HMAC, "key_encoding": "base64"}, HMAC]}, {"signing": "no base 64"}, None),
]


@pytest.mark.parametrize(("overrides", "secrets", "code"), CASES, ids=str)
def test_exactly_the_secrets_that_the_document_can_use_are_no_fault(
    overrides: dict[str, Any], secrets: dict[str, Any], code: str | None
) -> None:
    found = list(secret_faults(make_document("generic", overrides), secrets))
    assert [(fault["field"], fault["code"]) for fault in found] == [
        (f"secrets.{name}", code) for name in secrets if code
    ]


async def test_a_source_is_neither_made_nor_changed_with_a_secret_that_it_cannot_use(api: Api) -> None:
    for overrides, secrets, code in CASES[::4]:
        body = {"name": "x", "preset": "generic", "overrides": overrides}
        plain = await api.post("/v1/sources", body)
        path = f"/v1/sources/{plain['id']}"
        made = await api.call("POST", "/v1/sources", {**body, "secrets": secrets})
        changed = await api.call("PATCH", path, {"secrets": secrets})
        if code is None:
            assert (made.status_code, changed.status_code) == (201, 200)
            assert changed.json()["secret_names"] == sorted(secrets)
            continue
        for refused in (made, changed):
            assert (refused.status_code, refused.json()["code"]) == (422, "mapping_has_faults")
            assert refused.json()["errors"] == list(secret_faults(make_document("generic", overrides), secrets))
        assert await api.get(path) == plain, "what is refused changes nothing"
    assert {code for *_, code in CASES[::4]} == {None, "secret_unused", "secret_invalid"}


@pytest.mark.parametrize(
    ("name", "rule"),
    [("signing", HMAC), ("token", TOKEN), ("basic", {"kind": "basic"}), ("mine", {**HMAC, "secret": "mine"})],
)
def test_the_hint_names_a_rule_that_would_use_the_secret(name: str, rule: dict[str, Any]) -> None:
    (fault,) = secret_faults(make_document("generic", {}), {name: "me:pass"})
    assert f'"kind": "{rule["kind"]}"' in fault["detail"]
    assert list(secret_faults(make_document("generic", {"verify": [rule]}), {name: "me:pass"})) == []
    (fault,) = secret_faults(make_document("typeform", {}), {"sining": "s"})
    assert "did you mean signing?" in fault["detail"]


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_uses_the_secrets_that_it_names_and_no_other(name: str) -> None:
    document = make_document(name, {})
    values = dict.fromkeys(usable_secrets(document), "me:pass")
    assert list(secret_faults(document, values)) == []
    assert [fault["field"] for fault in secret_faults(document, {**values, "other": "x"})] == ["secrets.other"]


async def test_a_document_that_stops_using_a_secret_is_refused_until_the_secret_is_removed(api: Api) -> None:
    made = await api.post("/v1/sources", {"name": "x", "preset": "typeform", "secrets": {"signing": "s"}})
    path = f"/v1/sources/{made['id']}"
    changes: list[dict[str, Any]] = [
        {"preset": "generic"},
        {"overrides": {"verify": []}},
        {"overrides": {"verify": [TOKEN]}},
    ]
    for change in changes:
        refused = await api.call("PATCH", path, change)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "secrets.signing"), change
    other = {"overrides": {"verify": [TOKEN]}, "secrets": {"signing": None, "token": "t"}}
    changed = await api.call("PATCH", path, other)
    assert (changed.status_code, changed.json()["secret_names"]) == (200, ["token"])
    plain = await api.call("PATCH", path, {"preset": "generic", "overrides": {}, "secrets": {"token": None}})
    assert (plain.status_code, plain.json()["secret_names"]) == (200, [])


async def test_a_source_of_an_earlier_release_goes_on_working_and_shows_what_it_does_not_use(api: Api) -> None:
    made = await api.post("/v1/sources", {"name": "x", "preset": "typeform", "secrets": {"signing": "s"}})
    assert made["unused_secrets"] == []
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE sources SET preset = 'generic', version = version + 1 WHERE preset = 'typeform'"))
    path = f"/v1/sources/{made['id']}"
    renamed = await api.call("PATCH", path, {"name": "y"})
    assert (renamed.status_code, renamed.json()["unused_secrets"]) == (200, ["signing"])
    assert (await api.call("PATCH", path, {"overrides": {"custom": "{a: item.a}"}})).status_code == 422
    removed = await api.call("PATCH", path, {"secrets": {"signing": None}})
    assert (removed.status_code, removed.json()["unused_secrets"]) == (200, [])


async def test_a_handshake_that_asks_for_no_token_has_no_parameter_for_one(api: Api) -> None:
    for kind, status in (("none", 422), ("ok", 422), ("echo", 201), ("hmac_echo", 201)):
        handshake = {"kind": kind, "token_param": "t", **({"param": "c"} if "echo" in kind else {})}
        body = {"name": "x", "preset": "generic", "overrides": {"handshake": handshake}}
        made = await api.call("POST", "/v1/sources", body)
        assert made.status_code == status, kind
        if status == 422:
            (fault,) = made.json()["errors"]
            assert (fault["field"], fault["code"]) == ("overrides.handshake.token_param", "token_unused")
