"""Hosts and web addresses at every member that takes one: a valid host is taken, any other text is 422, none is 500."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.matching.company import is_web_address, registrable_domain
from app.matching.host import host_name, host_of_url, is_host
from app.settings import Settings, SettingsError, load
from app.webhooks.egress import Egress, TargetRefused
from app.webhooks.targets import Targets
from tests.api import Api

LONG = ".".join(["a" * 63] * 4)
NO_HOSTS = [
    "",
    ".",
    "..",
    "example..com",
    ".example.com",
    "example.com..",
    ".example.com.",
    "a" * 64 + ".com",
    LONG,
    "xn--a",
    "xn--a.com",
    "www.xn--.com",
    "xn--99zzzzzzz.com",
    "{{host}}",
    "{host}.example.com",
    "-bad-.com",
    "-bad.com",
    "bad-.com",
    "a_b.example.com",
    "a b.com",
    "exa\tmple.com",
    "exa\x00mple.com",
    "example.com\n",
    "ex\\ample.com",
    "example.123",
    "example.0x7f",
    "0x7f.1",
    "127.1",
    "2130706433",
    "0177.0.0.1",
    "1.2.3.4.5",
    "256.1.1.1",
    "fe80::1%eth0",
    "[fe80::1%25eth0]",
    "☃.net",
    "example。。com",
    "＠.com",
    "\u202eexample.com",
    "\ud800.com",
]
HOSTS = [
    "example.com",
    "EXAMPLE.com",
    "a.b.c.d.example.co.uk",
    "r3---sn-x.example.com",
    "1and1.example",
    "0x7f.example",
    "a" * 63 + ".com",
    ("a" * 61 + ".") * 4 + "co",
    "xn--bcher-kva.example",
    "bücher.example",
    "faß.de",
    "пример.рф",
    "例え。テスト",
    "localhost",
    "example.com.",
    "EXAMPLE.com.",
    "bücher.example.",
    "例え。テスト。",
    "localhost.",
]


@pytest.mark.parametrize("typed", NO_HOSTS)
def test_what_is_no_host_name_is_none(typed: str) -> None:
    assert host_name(typed) is None
    assert not is_host(typed)


@pytest.mark.parametrize("typed", HOSTS)
def test_a_host_name_is_given_in_ascii_and_stays_as_it_is(typed: str) -> None:
    name = host_name(typed)
    assert name is not None
    assert name.isascii()
    assert name == name.lower() == host_name(name)


@pytest.mark.parametrize("typed", [typed for typed in HOSTS if typed[-1] not in ".。" and len(typed) < 200])
def test_a_point_at_the_end_of_a_host_changes_nothing(typed: str) -> None:
    assert host_name(f"{typed}.") == host_name(typed)
    assert host_of_url(f"https://{host_name(typed)}./a") == host_name(typed)
    assert host_of_url(f"https://{host_name(typed)}.:8443") == f"{host_name(typed)}:8443"
    assert is_web_address(f"https://{typed}./a") == is_web_address(typed)
    assert registrable_domain(f"https://{typed}./a") == registrable_domain(typed)


@pytest.mark.parametrize("typed", ["127.0.0.1", "8.8.8.8", "::1", "2606:4700::1111"])
def test_an_ip_address_is_a_host_but_no_name(typed: str) -> None:
    assert host_name(typed) is None
    assert is_host(typed)


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True).filter(lambda one: one[:4] != "xn--")
NAME = st.tuples(st.lists(LABEL, min_size=1, max_size=3), st.from_regex(r"[a-z]{2,10}", fullmatch=True)).map(
    lambda parts: ".".join([*parts[0], parts[1]])
)
ANYTHING = st.one_of(
    st.text(max_size=80),
    st.text("ab.-_x0:/@?#[]{}%\\ \t\x00é☃。", max_size=40),
    st.sampled_from(NO_HOSTS + HOSTS),
    NAME,
)


@given(NAME.filter(lambda name: len(name) <= 253))
def test_every_name_of_letters_digits_and_inner_hyphens_is_a_host_name(name: str) -> None:
    assert host_name(name) == name
    assert host_of_url(f"https://{name}:8443/a?b=c#d") == f"{name}:8443"


@given(ANYTHING)
def test_a_host_name_can_be_looked_up_whatever_was_typed(typed: str) -> None:
    name = host_name(typed)
    if name is not None:
        assert name.encode("idna")
        assert 0 < len(name) <= 253
    if (domain := registrable_domain(typed)) is not None:
        assert host_name(domain) == domain


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "//example.com",
        "ftp://example.com/",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://example.com:0/",
        "https://example.com:70000/",
        "https://example.com:x/",
        "https://example.com\\@evil.example/",
        "https://example.com/a b",
        "https://[::1",
        "https://[fe80::1%25eth0]/",
        "https://bücher.example/",
        "https://example.com/" + "x" * 2_000,
        *(f"https://{host}/" for host in NO_HOSTS),
    ],
)
def test_a_url_without_a_host_that_every_browser_agrees_on_has_none(url: str) -> None:
    assert host_of_url(url) is None


SUBSCRIPTION = "/v1/subscriptions"
RESPOND = {"name": "s", "preset": "html-form"}
MEMBERS: dict[str, tuple[str, Any]] = {
    "url": (SUBSCRIPTION, lambda text: {"url": text}),
    "defaults.thank_you_url": ("/v1/sources", lambda text: {**RESPOND, "defaults": {"thank_you_url": text}}),
    "defaults.allowed_origins.0": ("/v1/sources", lambda text: {**RESPOND, "defaults": {"allowed_origins": [text]}}),
    "overrides.respond.allow_hosts.0": (
        "/v1/sources",
        lambda text: {**RESPOND, "overrides": {"respond": {"allow_hosts": [text]}}},
    ),
    "overrides.respond.redirect": (
        "/v1/sources",
        lambda text: {**RESPOND, "overrides": {"respond": {"redirect": text}}},
    ),
    "overrides.fetch.url": ("/v1/sources", lambda text: {**RESPOND, "overrides": {"fetch": {"url": text}}}),
    "domain": ("/v1/accounts", lambda text: {"name": "A", "domain": text}),
    "website": ("/v1/accounts", lambda text: {"name": "A", "website": text}),
}
WEB_ADDRESSES = [name for name in MEMBERS if name not in ("domain", "overrides.respond.allow_hosts.0")]


def as_given(member: str, host: str) -> str:
    return f"https://{host}" if member in WEB_ADDRESSES else host


STRIPPED = ("domain", "website")  # of white space around the text


@pytest.mark.parametrize("member", MEMBERS)
async def test_a_host_that_is_none_is_422_at_the_member_that_gave_it(api: Api, member: str) -> None:
    path, body = MEMBERS[member]
    for host in NO_HOSTS:
        if "\ud800" in host or (member in STRIPPED and host == "example.com\n"):
            continue
        answer = await api.call("POST", path, body(as_given(member, host)))
        assert answer.status_code == 422, (host, answer.text)
        assert member in [one["field"] for one in answer.json()["errors"]], (host, answer.text)


@pytest.mark.parametrize("member", MEMBERS)
async def test_a_host_name_is_taken_at_every_member(api: Api, member: str) -> None:
    path, body = MEMBERS[member]
    for host in ("www.example.com", "r3---sn-x.example.com", "1and1.example", "xn--bcher-kva.example"):
        answer = await api.call("POST", path, body(as_given(member, host)))
        assert answer.status_code in (201, 409), (host, answer.text)


@pytest.mark.parametrize("host", ["example..com", "a" * 64 + ".com", "xn--a", "{{host}}", "-bad-.com"])
async def test_a_subscription_is_not_changed_to_a_host_that_is_none(api: Api, host: str) -> None:
    made = await api.post(SUBSCRIPTION, {"url": "https://hooks.example.com/"})
    answer = await api.call("PATCH", f"{SUBSCRIPTION}/{made['id']}", {"url": f"https://{host}/"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "url")


@asynccontextmanager
async def lookup_of_nothing() -> AsyncIterator[Egress]:
    async def nothing(_: str) -> list[Any]:
        raise OSError("no such name")

    way = Egress(Targets(), lookup=nothing)
    yield way
    await way.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(typed=ANYTHING, before=st.sampled_from(["https://", "https://a@", "https://[", "", "https://x."]))
@example(typed="xn--a/", before="https://")
async def test_any_text_is_a_valid_url_of_a_subscription_or_refused(typed: str, before: str) -> None:
    async with lookup_of_nothing() as way:
        try:
            kept = await way.check_url(before + typed)
        except TargetRefused:
            return
        assert await way.check_url(kept) == kept


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(typed=ANYTHING, member=st.sampled_from([*MEMBERS, "fields.website", "fields.domain", "fields.company"]))
async def test_no_text_at_an_address_is_a_fault_of_ours(api: Api, typed: str, member: str) -> None:
    text = typed.encode("utf-8", "ignore").decode()
    if member.startswith("fields."):
        path, body = "/v1/leads", {"fields": {"email": "a@example.com", member.partition(".")[2]: text}}
    else:
        path, make = MEMBERS[member]
        body = make(text)
    answer = await api.call("POST", path, body)
    assert answer.status_code in (200, 201, 409, 422), (member, text, answer.text)
    listed = await api.call("GET", "/v1/accounts", params={"domain": text})
    assert listed.status_code in (200, 422)


@pytest.mark.parametrize("host", [*NO_HOSTS, "example.com:0", "example.com:70000", "user@example.com"])
def test_a_public_url_needs_a_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\x00" in host or "\ud800" in host:
        return  # no environment variable holds these
    monkeypatch.setenv("BATON_PUBLIC_URL", f"https://{host}")
    with pytest.raises(SettingsError, match="BATON_PUBLIC_URL cannot be used"):
        load()


@pytest.mark.parametrize("url", ["https://baton.example", "http://127.0.0.1:8000", "https://[::1]:8000/baton/"])
def test_a_public_url_is_kept_without_a_slash_at_its_end(url: str) -> None:
    assert Settings(public_url=url).public_url == url.rstrip("/")
