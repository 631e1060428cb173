"""URLs of brokers: what they name, in which form they are kept, and the subjects and topics that follow from them."""

from __future__ import annotations

import pytest

from app.webhooks.egress import UNLESS, TargetRefused
from app.webhooks.sinks import MAX_DESTINATION, MAX_HOSTS, MAX_TOPIC, Sink, SinkInvalid, is_sink
from app.webhooks.targets import Targets
from tests.webhooks.receivers import LOOPBACK, egress, names

SUBJECT = "lead.{tenant}.{lead}.{type}"
PUBLIC = Targets(ports=frozenset({443, 4222}))
KNOWN = names(broker_example_com="93.184.216.34", two_example_com="93.184.216.35", inner_example_com="10.0.0.1")
LONGEST, LONGEST_TOPIC = "x" * MAX_DESTINATION, "x" * MAX_TOPIC


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("nats://127.0.0.1", f"nats://127.0.0.1:4222/{SUBJECT}"),
        ("nats://127.0.0.1:4222/", f"nats://127.0.0.1:4222/{SUBJECT}"),
        ("NATS+TLS://Broker.example.com./crm", "nats+tls://broker.example.com:4222/crm"),
        ("nats://[::1]:1/a.{lead}", "nats://[::1]:1/a.{lead}"),
        ("nats://[::1]/a", "nats://[::1]:4222/a"),
        ("nats+tls://bücher.example:65535/a", "nats+tls://xn--bcher-kva.example:65535/a"),
        ("nats://one:1,two,127.0.0.1:3/a_b.c-d.{type}", "nats://one:1,two:4222,127.0.0.1:3/a_b.c-d.{type}"),
        (f"nats://one/{LONGEST}", f"nats://one:4222/{LONGEST}"),
        ("nats://" + ",".join(["one"] * MAX_HOSTS) + "/a", "nats://" + ",".join(["one:4222"] * MAX_HOSTS) + "/a"),
        ("kafka://127.0.0.1/leads", "kafka://127.0.0.1:9092/leads"),
        (
            "KAFKA+TLS://Broker.example.com.:9094,two/crm.Leads_1-x",
            "kafka+tls://broker.example.com:9094,two:9092/crm.Leads_1-x",
        ),
        (f"kafka://one/{LONGEST_TOPIC}", f"kafka://one:9092/{LONGEST_TOPIC}"),
    ],
)
def test_the_url_of_a_broker_is_kept_in_one_form(url: str, kept: str) -> None:
    assert is_sink(url)
    assert Sink.parse(url).url == kept
    assert Sink.parse(kept).url == kept


@pytest.mark.parametrize(
    "url",
    [
        "nats://",
        "nats:///a",
        "nats:one/a",
        "nats+ssl://one/a",
        "nats+tls+tls://one/a",
        "redis://one/a",
        "https://one/a",
        "nats://user:secret@one/a",
        "nats://@one/a",
        "nats://one:0/a",
        "nats://one:65536/a",
        "nats://one:/a",
        "nats://one:x/a",
        "nats://one,/a",
        "nats://one,,two/a",
        "nats://::1/a",
        "nats://[::1/a",
        "nats://[::g]/a",
        "nats://127.1/a",
        "nats://one_two/a",
        "nats://" + ",".join(["one"] * (MAX_HOSTS + 1)) + "/a",
        "nats://one/a?b=c",
        "nats://one/a#b",
        "nats://one/a b",
        "nats://one/a\\b",
        "nats://one/a\r\nPUB x",
        "nats://one/a/b",
        "nats://one/.a",
        "nats://one/a.",
        "nats://one/a..b",
        "nats://one/a.*",
        "nats://one/a.>",
        "nats://one/$JS.API.STREAM.DELETE.x",
        "nats://one/{tenant",
        "nats://one/{owner}",
        "nats://one/{tenant.x}",
        "nats://one/{}",
        "nats://one/ä",
        f"nats://one/{LONGEST}x",
        "kafka://",
        "kafka://one",
        "kafka://one/",
        "kafka://user:secret@one/a",
        "kafka+ssl://one/a",
        "kafka://one/.",
        "kafka://one/..",
        "kafka://one/a/b",
        "kafka://one/{lead}",
        "kafka://one/a b",
        "kafka://one/ä",
        "kafka://one/a?acks=0",
        f"kafka://one/{LONGEST_TOPIC}x",
    ],
)
def test_any_other_url_names_no_broker(url: str) -> None:
    with pytest.raises(SinkInvalid):
        Sink.parse(url)


@pytest.mark.parametrize(
    ("template", "lead", "subject"),
    [
        ("", "lead_1", "lead.ten_1.lead_1.lead.stage_changed"),
        ("", None, "lead.ten_1.none.lead.stage_changed"),
        ("{type}", None, "lead.stage_changed"),
        ("crm.{lead}-{tenant}.x", "lead_1", "crm.lead_1-ten_1.x"),
        ("fixed", "lead_1", "fixed"),
    ],
)
def test_a_subject_names_tenant_lead_and_type_where_it_wants(template: str, lead: str | None, subject: str) -> None:
    sink = Sink.parse(f"nats://one/{template}")
    assert sink.destination_of("ten_1", lead, "lead.stage_changed") == subject


@pytest.mark.parametrize(
    "url",
    [
        "nats+tls://broker.example.com:4222/a",
        "nats+tls://broker.example.com:443,two.example.com:4222/a",
        "nats+tls://not-yet.example.com:4222/a",
        "kafka+tls://broker.example.com:443,two.example.com:4222/a",
    ],
)
async def test_a_public_broker_may_be_registered_by_tls_and_an_allowed_port(url: str) -> None:
    async with egress(PUBLIC, lookup=KNOWN) as client:
        assert await client.check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "nats://broker.example.com:4222/a",
        "nats+tls://broker.example.com:4223/a",
        "nats+tls://inner.example.com:4222/a",
        "nats+tls://broker.example.com:4222,inner.example.com:4222/a",
        "nats+tls://93.184.216.34:4222/a",
        "nats+tls://127.0.0.1:4222/a",
        "nats+tls://[::1]:4222/a",
        "nats://127.0.0.1:4222/a",
        "nats+tls://broker:4222/a",
        "nats+tls://broker.example.com:4222/a\x00",
        "nats+tls://broker.example.com:4222/" + "a" * 2048,
        "kafka://broker.example.com:4222/a",
        "kafka+tls://broker.example.com/a",
        "kafka+tls://93.184.216.34:4222/a",
        "kafka+tls://inner.example.com:4222/a",
    ],
)
async def test_any_other_broker_is_refused_without_allowed_networks(url: str) -> None:
    async with egress(PUBLIC, lookup=KNOWN) as client:
        with pytest.raises(TargetRefused):
            await client.check_url(url)


@pytest.mark.parametrize("url", ["nats://127.0.0.1:4222/a", "nats+tls://[::1]:1/a", "kafka://127.0.0.1:9092/a"])
async def test_in_allowed_networks_a_broker_may_be_plain_and_on_any_port(url: str) -> None:
    async with egress(LOOPBACK, lookup=KNOWN) as client:
        assert await client.check_url(url) == url


PRIVATE = f"Nothing may be sent to this host{UNLESS}."
PORTS = "is not one that the operator allows: 443, 4222 (BATON_ALLOWED_PORTS)."


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://broker.example.com:9/a", f"Port 9 {PORTS}"),
        ("http://broker.example.com:443/a", "The URL must use TLS (https://)."),
        ("http://broker/a", f"The URL must use TLS (https://). The host must be a name with a dot. Port 80 {PORTS}"),
        ("nats://broker.example.com/a", "The URL must use TLS (nats+tls://)."),
        ("nats+tls://broker/a", "The host must be a name with a dot."),
        ("kafka+tls://broker.example.com/a", f"Port 9092 {PORTS}"),
        ("kafka://broker.example.com:443/a", "The URL must use TLS (kafka+tls://)."),
        ("kafka+tls://93.184.216.34:443/a", f"The host must be a name, not an IP address{UNLESS}."),
        ("kafka+tls://10.0.0.1:443/a", f"The host must be a name, not an IP address{UNLESS}."),
        ("kafka+tls://inner.example.com:443/a", PRIVATE),
        ("https://inner.example.com/a", PRIVATE),
    ],
)
async def test_a_refusal_names_the_rule_and_of_addresses_nothing(url: str, text: str) -> None:
    for allowed in ((), LOOPBACK.allowed):  # what the operator allows elsewhere changes no text
        async with egress(Targets(allowed, PUBLIC.ports), lookup=KNOWN) as client:
            with pytest.raises(TargetRefused) as refused:
                await client.check_url(url)
            assert (refused.value.code, refused.value.detail) == ("target_refused", text)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("nats+tls://broker.example.com:4222/a?timeout=5", "has no ?query and no #fragment"),
        ("kafka+tls://broker.example.com:4222/a#b", "has no ?query and no #fragment"),
        ("nats+tls://broker.example.com:65536/a", "with a port from 1 to 65535"),
        ("kafka+tls://broker.example.com:0/a", "with a port from 1 to 65535"),
        ("nats+tls://broker.example.com:4222/_INBOX.a", "begin with _INBOX"),
        ("nats+tls://broker.example.com:4222/_INBOX", "begin with _INBOX"),
        ("nats+tls://broker.example.com:4222/_INBOX_a.{lead}", "begin with _INBOX"),
        ("nats+tls://broker.example.com:4222/$SYS.a", "A subject has at most"),
    ],
)
async def test_what_the_url_of_a_broker_cannot_have_is_told(url: str, text: str) -> None:
    async with egress(PUBLIC, lookup=KNOWN) as client:
        with pytest.raises(TargetRefused) as refused:
            await client.check_url(url)
    assert refused.value.code == "url_invalid"
    assert text in refused.value.detail


async def test_a_rule_that_is_broken_is_named_alike_whatever_address_the_name_has() -> None:
    async with egress(Targets(LOOPBACK.allowed, PUBLIC.ports), lookup=KNOWN) as client:
        texts = set()
        for host in ("broker", "inner", "nowhere"):
            with pytest.raises(TargetRefused) as refused:
                await client.check_url(f"kafka://{host}.example.com:443/a")
            texts.add(refused.value.detail)
    assert texts == {"The URL must use TLS (kafka+tls://)."}
