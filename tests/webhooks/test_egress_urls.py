"""Which URLs may be registered, and name servers that do not answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from ipaddress import ip_network

import pytest

from app.webhooks.egress import TargetRefused
from app.webhooks.resolver import SystemLookup
from app.webhooks.targets import Address, Targets
from tests.waiting import TIMEOUT_SECONDS, until
from tests.webhooks.receivers import LOOPBACK, egress, names

KNOWN = names(
    hook_example_com="93.184.216.34",
    inner_example_com="127.0.0.1",
    mixed_example_com="8.8.8.8 127.0.0.1",
    localhost="127.0.0.1",
    **{"xn--bcher-kva_example": "93.184.216.34"},
)
STRICT = Targets()


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://hook.example.com/a?b=c", "https://hook.example.com/a?b=c"),
        ("https://hook.example.com:8443/", "https://hook.example.com:8443/"),
        ("https://HOOK.example.com", "https://hook.example.com"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("https://not-yet.example.com/", "https://not-yet.example.com/"),
        ("https://hook.example.com./a?b=c", "https://hook.example.com/a?b=c"),
        ("https://hook.example.com.:8443/", "https://hook.example.com:8443/"),
        ("https://HOOK.Example.com./", "https://hook.example.com/"),
        ("https://bücher.example./x", "https://xn--bcher-kva.example/x"),
    ],
)
async def test_a_public_https_name_may_be_registered(url: str, kept: str) -> None:
    async with egress(STRICT, lookup=KNOWN) as client:
        assert await client.check_url(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook.example.com",
        "ftp://hook.example.com/",
        "https://",
        "https:///path",
        "https://hook.example.com:0/",
        "https://hook.example.com:99999/",
        "https://user@hook.example.com/",
        "https://u:p@hook.example.com/",
        "https://@hook.example.com/",
        "https://hook.example.com/#part",
        "https://hook.example.com/a b",
        "https://hook.example.com\\@evil.example/",
        "https://hook.example.com/\x00",
        "https://hook.example.com/\r\nX: y",
        "https://hook.example.com/" + "x" * 2048,
        "http://hook.example.com/",
        "https://hook.example.com:22/",
        "https://93.184.216.34/",
        "https://[2606:4700::1111]/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://inner.example.com/",
        "https://mixed.example.com/",
        "https://localhost/",
        "https://localhost./",
        "https://inner.example.com./",
        "https://hook.example.com../",
        "https://./",
        "https://.hook.example.com/",
        "https://hook/",
        "https://xn--zzzzzzz/",
        "https://xn--bcher-kva/",
        "https://xn--zzzzzz/",
        "https://xn--a.example.com/",
        "https://XN--A.example.com/",
        "https://hook.xn--0/",
        "https://xn--.example.com/",
        "https://xn--aaaaaaa.example.com/",
    ],
)
async def test_any_other_url_is_refused_without_allowed_networks(url: str) -> None:
    async with egress(STRICT, lookup=KNOWN) as client:
        with pytest.raises(TargetRefused):
            await client.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:3000/hook",
        "http://[::1]:3000/",
        "http://localhost:3000/",
        "https://127.0.0.1/",
        "https://inner.example.com/",
        "https://hook.example.com/",
    ],
)
async def test_in_allowed_networks_http_literals_and_any_port_are_accepted(url: str) -> None:
    async with egress(LOOPBACK, lookup=KNOWN) as client:
        assert await client.check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hook.example.com/",
        "https://hook.example.com:3000/",
        "http://10.0.0.1/",
        "http://unknown.example.com/",
        "https://93.184.216.34/",
        "http://mixed.example.com/",
    ],
)
async def test_outside_the_allowed_networks_the_strict_rules_still_apply(url: str) -> None:
    async with egress(LOOPBACK, lookup=KNOWN) as client:
        with pytest.raises(TargetRefused):
            await client.check_url(url)


async def test_a_refusal_does_not_reveal_what_a_name_resolved_to() -> None:
    async with egress(Targets(allowed=(ip_network("10.9.0.0/16"),)), lookup=KNOWN) as client:
        texts = set()
        for host in ("inner.example.com", "mixed.example.com", "unknown.example.com"):
            with pytest.raises(TargetRefused) as refused:
                await client.check_url(f"http://{host}/")
            texts.add(refused.value.detail)
    assert len(texts) == 1


async def test_a_dns_lookup_that_hangs_times_out_and_blocks_one_thread_per_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, asked = threading.Event(), []

    def silent(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        if host == "dead.test":
            release.wait()
        return [(2, 1, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    lookup = SystemLookup(seconds=0.3)
    try:
        async with egress(lookup=lookup) as client:
            many = [client.post("http://dead.test/", {}, b"") for _ in range(100)]
            outcomes = await asyncio.gather(*many)
            assert {outcome.error for outcome in outcomes} == {"dns_timeout"}
            await until(lambda: bool(asked), "the lookup thread has started")
            assert asked == ["dead.test"]
            lookup._seconds = TIMEOUT_SECONDS
            assert [str(each) for each in await lookup("alive.test")] == ["127.0.0.1"]
    finally:
        release.set()
        lookup.close()


async def test_dns_lookups_that_hang_delay_at_most_two_registrations() -> None:
    never = asyncio.Event()

    async def silent(_: str) -> list[Address]:
        await never.wait()
        return []

    async with egress(STRICT, lookup=silent) as client:
        held = [asyncio.create_task(client.check_url(f"https://a{n}.example.com/")) for n in range(5)]
        await until(lambda: sum(task.done() for task in held) >= 3)
        await asyncio.sleep(0.2)
        assert sum(task.done() for task in held) == 3
        never.set()
        await asyncio.gather(*held)
        assert await client.check_url("https://b.example.com/")
