"""A preset and overrides give a document, or faults with their places."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.matching.social import NETWORKS
from app.sources import preset as preset_module
from app.sources.document import Defaults, merge, secrets_of
from app.sources.preset import DocumentFaulty, make_document, preset, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_a_built_in_preset_is_valid_and_has_its_name_and_a_title(name: str) -> None:
    document = make_document(name, {})
    assert document.preset == name
    assert document.title


def test_objects_are_merged_and_lists_replaced() -> None:
    assert merge({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}, "e": None}) == {
        "a": {"b": 1, "c": [3]},
        "d": 1,
        "e": None,
    }


def test_overrides_do_not_change_the_built_in_preset() -> None:
    make_document("typeform", {"fields": {"email": "item.mail"}, "verify": []})
    assert preset("typeform")["fields"]["email"] != "item.mail"
    assert make_document("typeform", {}).verify


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        ({"fields": {"emial": "item.email"}}, "fields.emial"),
        ({"fields": {"email": "item..email"}}, "fields.email"),
        ({"fields": {"email": "nosuch(item)"}}, "fields.email"),
        ({"fields": {"email": "labelled(item)"}}, "fields.email"),
        ({"fields": {"email": "(" * 2_000}}, "fields.email"),
        ({"fields": {"email": None}}, "fields.email"),
        ({"route": [{"when": "item.x", "do": "explode"}]}, "route.0.do"),
        ({"verify": [{"kind": "hmac"}]}, "verify.0.header"),
        ({"verify": [{"kind": "hmac", "header": "S", "signed": "{nothing}"}]}, "verify.0.signed"),
        ({"verify": [{"kind": "oauth"}]}, "verify.0"),
        ({"occurred_at": {"expr": "item.t", "timezone": "Mars/Base"}}, "occurred_at.timezone"),
        ({"occurred_at": {"expr": "item.t", "formats": ["guess"]}}, "occurred_at.formats.0"),
        ({"parse": {"formats": ["xml"]}}, "parse.formats.0"),
        ({"defaults": {"region": "Romania"}}, "defaults.region"),
        ({"respond": {"allow_hosts": ["https://x"]}}, "respond.allow_hosts.0"),
        ({"no/such~member": 1}, "no/such~member"),
    ],
)
def test_a_fault_names_its_place(overrides: dict[str, Any], place: str) -> None:
    with pytest.raises(DocumentFaulty) as caught:
        make_document("typeform", overrides)
    assert place in [fault["field"] for fault in caught.value.faults]


def test_an_unknown_preset_raises_a_key_error() -> None:
    with pytest.raises(KeyError):
        make_document("../generic", {})


def test_a_document_names_the_secrets_it_needs() -> None:
    assert secrets_of(make_document("typeform", {})) == {"signing"}
    assert secrets_of(make_document("generic", {})) == frozenset()
    echo = {"kind": "echo", "param": "c", "token_param": "t"}
    assert secrets_of(make_document("generic", {"handshake": echo})) == {"verify_token"}


def test_an_open_document_needs_no_secret_but_those_it_was_given() -> None:
    document = make_document("typeform", {"open_without_secrets": True})
    assert secrets_of(document) == frozenset()
    assert secrets_of(document, {"signing", "other"}) == {"signing"}
    assert secrets_of(make_document("generic", {"fetch": {"url": "https://a.example/", "auth": "api"}})) == {"api"}


def test_a_preset_may_extend_another() -> None:
    base, extended = preset("html-form"), preset("webflow")
    assert extended["fields"] == base["fields"]
    assert extended["items"] != base["items"]
    assert "extends" not in extended


def test_a_sources_own_defaults_have_the_same_shape() -> None:
    assert Defaults.model_validate({"region": "RO", "activity_type": "demo_request"}).activity_type == "demo_request"


# Words of names of presets that name no provider; `segment` is one, and a part of a file.
PLAIN = frozenset(
    re.findall(
        r"\w+",
        "generic html form csv badge scan webinar attendance contact fetched webhook webhooks workflow web to lead"
        " leads com chat ads forms sync gen segment",
    )
)
APP = Path(preset_module.__file__).parents[1]


def test_no_provider_is_named_in_code() -> None:
    words = {word for name in preset_names() for word in name.split("-")} - PLAIN - {"meta", "make", "qualified"}
    words |= {name for name in preset_names() if "-" in name} - {"html-form"} | {"meta lead", "qualified.com"}
    words |= {*NETWORKS, "twitter", "youtube", "whatsapp", "xing"} - {"x"}
    allowed = {("company.py", "google")}  # a company that people work for
    code = {path: path.read_text("utf-8").lower() for path in APP.rglob("*.py") if "demo" not in path.parts}
    found = {(path.name, word) for path, text in code.items() for word in words if re.search(rf"\b{word}\b", text)}
    assert found <= allowed
    assert len(preset_names()) >= 36
