"""The addresses in a mapping document: whether each has a host that a browser or we could reach.

Checked when a source is saved, not when its document is read: a document that was stored before must go on working.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from app.matching.host import host_of_url
from app.sources.document import PLACEHOLDER, Document, Fetch
from app.sources.expressions import compiled, is_literal
from app.sources.preset import preset_names

MAX_URL: Final = 2_000
OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"}
)


def address_faults(document: Document) -> Iterator[dict[str, str]]:
    """A fault for each address without a valid host, in the form of `DocumentFaulty.faults`."""
    respond = document.respond
    for index, pattern in enumerate(respond.allow_hosts if respond else ()):
        if host_of_url(f"https://{pattern.removeprefix('*.')}") is None:
            yield _fault(f"respond.allow_hosts.{index}", "must be a host, such as www.acme.example or *.acme.example")
    if respond and respond.redirect and is_literal(respond.redirect) and host_of_url(respond.redirect) is None:
        yield _fault("respond.redirect", "must be an expression, or the http(s) URL of a page")
    if document.bot_check and host_of_url(document.bot_check.url) is None:
        yield _fault("bot_check.url", "must be the http(s) URL at which the service checks a token")
    if document.fetch:
        yield from _fetch_faults(document.fetch)


class Egress(Protocol):
    """The HTTP client of webhooks, which refuses addresses that may not be called."""

    async def refusal(self, url: str) -> str | None: ...


async def target_faults(document: Document, egress: Egress) -> list[dict[str, str]]:
    """A fault for each address that we would call, and that webhooks may not be sent to either."""
    called = {"fetch.url": _without_placeholders(document.fetch.url)} if document.fetch else {}
    if document.bot_check:
        called["bot_check.url"] = document.bot_check.url
    found = [(field, await egress.refusal(url)) for field, url in called.items()]
    return [{"field": field, "code": "target_refused", "detail": why} for field, why in found if why]


def _fetch_faults(fetch: Fetch) -> Iterator[dict[str, str]]:
    if len(fetch.url) > MAX_URL or host_of_url(_without_placeholders(fetch.url)) is None:
        yield _fault("fetch.url", "must be an http(s) URL; its host is written out, without a placeholder")
    for expression in PLACEHOLDER.findall(fetch.url):
        try:
            compiled(expression)
        except ValueError as error:
            yield {"field": "fetch.url", "code": "invalid", "detail": f"{{{expression}}}: {error}"}
    for name, value in [(fetch.header, fetch.prefix), *fetch.headers.items()]:
        if name.lower() in OWN_HEADERS or not value.isprintable():
            place = "header" if name == fetch.header else f"headers.{name}"
            detail = "must be a header that does not frame the request, with a value of one line"
            yield {"field": f"fetch.{place}", "code": "header_invalid", "detail": detail}
    if fetch.use is not None and fetch.use not in preset_names():
        yield {
            "field": "fetch.use",
            "code": "preset_unknown",
            "detail": "must be the name of a preset: GET /v1/presets",
        }


def _fault(field: str, detail: str) -> dict[str, str]:
    return {"field": field, "code": "url_invalid", "detail": detail}


def _without_placeholders(url: str) -> str:
    """The URL with the placeholders of its path and query filled in; those of its host stay, and are refused."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{slash}{PLACEHOLDER.sub('x', path)}"
