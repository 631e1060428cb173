"""Whose address a request comes from: what a trusted proxy has written counts, what the client has sent does not."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings import ForwardedHeader, SettingsError, load
from app.web.client_address import client_address, client_key, read_address

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
XFF: ForwardedHeader = "x-forwarded-for"
FORWARDED: ForwardedHeader = "forwarded"


@pytest.mark.parametrize(
    ("peer", "lines", "found"),
    [
        ("198.51.100.9", [], "198.51.100.9"),
        ("198.51.100.9", ["203.0.113.7"], "198.51.100.9"),  # not a proxy of ours: it may write what it likes
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.2.3.4", "203.0.113.7"], "203.0.113.7"),  # two lines of the header are one list
        ("10.0.0.1", ["1.2.3.4, 203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),  # trusted all the way: the first of them is the client
        ("10.0.0.1", ["1.2.3.4, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, unknown, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", ["203.0.113.7:51234"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("fd00::1%eth0", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", [", ".join(["203.0.113.7"] + ["10.0.0.2"] * 50)], "10.0.0.2"),
        (None, ["203.0.113.7"], None),
        ("", ["203.0.113.7"], None),
    ],
)
def test_the_header_is_read_from_its_end_as_long_as_proxies_are_trusted(
    peer: str | None, lines: list[str], found: str | None
) -> None:
    assert client_address(peer, lines, PROXIES) == (ip_address(found) if found else None)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["for=203.0.113.7"], "203.0.113.7"),
        (["for=1.2.3.4, for=203.0.113.7;proto=https;by=10.0.0.1"], "203.0.113.7"),
        (['proto=http;For="[2001:db8::7]:4711"'], "2001:db8::7"),
        (['for="_hidden"'], "10.0.0.1"),
        (["for=unknown, for=10.2.2.2"], "10.2.2.2"),
        (["203.0.113.7"], "10.0.0.1"),
    ],
)
def test_the_header_forwarded_is_read_likewise(lines: list[str], found: str) -> None:
    assert client_address("10.0.0.1", lines, PROXIES, FORWARDED) == ip_address(found)


@given(st.lists(st.text(max_size=40), max_size=5), st.sampled_from([XFF, FORWARDED]))
def test_a_client_that_comes_through_one_proxy_cannot_choose_its_address(
    sent: list[str], header: ForwardedHeader
) -> None:
    written = "203.0.113.7" if header == XFF else "for=203.0.113.7"
    assert client_address("10.0.0.1", [*sent, written], PROXIES, header) == ip_address("203.0.113.7")


@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    read_address(text)
    client_address(text, [text, text], PROXIES, FORWARDED)


def test_addresses_of_one_ipv6_subscriber_are_one_client() -> None:
    assert client_key(ip_address("2001:db8:0:1::7")) == client_key(ip_address("2001:db8:0:1:ffff::8"))
    assert client_key(ip_address("2001:db8:0:1::7")) != client_key(ip_address("2001:db8:0:2::7"))
    assert client_key(ip_address("203.0.113.7")) != client_key(ip_address("203.0.113.8"))


def test_the_settings_name_trusted_networks_and_one_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8")
    monkeypatch.setenv("BATON_FORWARDED_HEADER", "Forwarded")
    settings = load()
    assert (settings.trusted_proxies, settings.forwarded_header) == (PROXIES, "forwarded")
    monkeypatch.setenv("BATON_FORWARDED_HEADER", "X-Real-IP")
    with pytest.raises(SettingsError, match="BATON_FORWARDED_HEADER"):
        load()
