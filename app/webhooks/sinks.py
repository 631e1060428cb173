"""The URL of a broker: its kind and whether TLS is used, hosts, and a subject or a topic. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Self

from app.matching.host import host_name, is_host

Kind = Literal["nats", "kafka"]

SCHEMES: Final = ("nats", "nats+tls", "kafka", "kafka+tls")
PORTS: Final[dict[Kind, int]] = {"nats": 4222, "kafka": 9092}
FORMS: Final[dict[Kind, str]] = {"nats": "nats+tls://host:port/subject", "kafka": "kafka+tls://host:port/topic"}
DEFAULT_SUBJECT: Final = "lead.{tenant}.{lead}.{type}"
WITHOUT_LEAD: Final = "none"  # the token in a subject for an event that is not about a lead
MAX_HOSTS: Final = 10
MAX_DESTINATION: Final = 200
MAX_TOPIC: Final = 249
INBOX: Final = "_INBOX"  # what subjects begin with by which a NATS server answers
URL: Final = re.compile(r"(nats|kafka)(\+tls)?://([^/?#@\\\s]+)(?:/([^?#\\\s]*))?", re.IGNORECASE)
HOST: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")
# Subjects that begin with $ are those by which a NATS server is administered.
_PART: Final = r"(?:[A-Za-z0-9_-]|\{(?:tenant|lead|type)\})+"
SUBJECT: Final = re.compile(rf"{_PART}(?:\.{_PART})*")
TOPIC: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]+")


class SinkInvalid(ValueError):
    """A URL that does not name a broker; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Sink:
    """A broker, by several of its hosts, and the template of a subject, or a topic."""

    kind: Kind
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    destination: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises SinkInvalid."""
        kind: Kind = "kafka" if url[:5].lower() == "kafka" else "nats"
        found = URL.fullmatch(url)
        if found is None:
            if "@" in re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]:
                raise SinkInvalid("The URL must not contain user information: put it into the member `credentials`.")
            if "?" in url or "#" in url:
                raise SinkInvalid(f"The URL of a broker has no ?query and no #fragment: write it as {FORMS[kind]}.")
            raise SinkInvalid(f"Write the URL of a broker as {FORMS[kind]}.")
        hosts = tuple(_host(part, PORTS[kind]) for part in found[3].split(","))
        if len(hosts) > MAX_HOSTS:
            raise SinkInvalid(f"Name at most {MAX_HOSTS} hosts of the broker, separated by commas.")
        return cls(kind, found[2] is not None, hosts, _destination(kind, found[4] or ""))

    @property
    def url(self) -> str:
        """In one form: with every port, and with the subject that is used where none is given."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{self.kind}{'+tls' if self.tls else ''}://{hosts}/{self.destination}"

    def address_url(self, host: str, port: int) -> str:
        """A URL of HTTP to which the same rules of addresses apply: TLS and plain, host and port."""
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"

    def destination_of(self, tenant: str, lead: str | None, type: str) -> str:
        """The subject for an event of this type about a lead, by public ids; the topic of Kafka has no places."""
        return self.destination.format(tenant=tenant, lead=lead or WITHOUT_LEAD, type=type)


@lru_cache(maxsize=10_000)
def sink_of(url: str) -> Sink:
    """The stored URL of a subscription as a sink. Raises SinkInvalid."""
    return Sink.parse(url)


def is_sink(url: str) -> bool:
    """Whether the URL has a scheme of a broker."""
    return url.partition("://")[0].lower() in SCHEMES


def _host(part: str, default_port: int) -> tuple[str, int]:
    found = HOST.fullmatch(part)
    host = (found[1] or found[2]) if found else ""
    port = int(found[3]) if found and found[3] else default_port
    if not is_host(host) or not 1 <= port <= 65_535:
        raise SinkInvalid(
            "Each host of a broker must be a name that the domain name system allows, with a port from 1 to 65535."
        )
    return host_name(host) or host.lower(), port


def _destination(kind: Kind, text: str) -> str:
    if kind == "kafka":
        if len(text) <= MAX_TOPIC and TOPIC.fullmatch(text):
            return text
        raise SinkInvalid(
            f"Write the URL of a broker as {FORMS[kind]}. A topic has at most {MAX_TOPIC} letters, digits, ., - and _."
        )
    subject = text or DEFAULT_SUBJECT
    if len(subject) <= MAX_DESTINATION and SUBJECT.fullmatch(subject):
        return subject
    raise SinkInvalid(
        f"A subject has at most {MAX_DESTINATION} letters, digits, - and _ in parts joined by points, and may have"
        " {tenant}, {lead} and {type}."
    )
