"""Every address that we make: behind a proxy that removes a path, and on IPv6; and the page at /."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.commands.greeting import greeting
from app.settings import Settings, SettingsError, load
from tests.api import Api, running

PUBLIC = "https://crm.example/baton"


class StrippingProxy:
    """A proxy of https://crm.example that passes /baton/… on as /…, and has nothing else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix("/baton")
        if path == scope["path"]:
            await send({"type": "http.response.start", "status": 502, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app({**scope, "path": path or "/", "raw_path": path.encode() or b"/"}, receive, send)


@pytest.fixture
async def behind_proxy(settings: Settings) -> AsyncIterator[Api]:
    """The application under a prefix; its client talks to the proxy."""
    async with running(settings.model_copy(update={"public_url": PUBLIC})) as api:
        transport = httpx.ASGITransport(StrippingProxy(api.app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://crm.example") as client:
            yield Api(api.app, client, api.key, api.tenant_id)


async def test_every_link_and_asset_of_the_pages_works_under_the_prefix(behind_proxy: Api) -> None:
    followed = set()
    for start in ("/baton", "/baton/", "/baton/docs"):
        page = await behind_proxy.client.get(start)
        assert page.status_code == 200
        links = re.findall(r"""(?:href|src|url)\s*[=:]\s*["']([^"']+)["']""", page.text)
        assert links, start
        for link in links:
            target = urljoin(f"{PUBLIC.removesuffix('/baton')}{start}", link)
            answer = await behind_proxy.client.get(target)
            assert answer.status_code == 200, (start, link)
            followed.add(urlsplit(target).path)
    assert followed >= {"/baton/docs", "/baton/openapi.json", "/baton/asyncapi.json", "/baton/healthz", "/baton/readyz"}
    assert "/baton/docs/static/swagger-ui-bundle.js" in followed


async def test_the_openapi_document_names_the_public_address(behind_proxy: Api, api: Api) -> None:
    document = (await behind_proxy.client.get("/baton/openapi.json")).json()
    assert document["servers"] == [{"url": PUBLIC}]
    assert (await api.client.get("/openapi.json")).json()["servers"] == [{"url": "/"}]


async def test_the_ingest_url_and_locations_work_under_the_prefix(behind_proxy: Api) -> None:
    once = {"Idempotency-Key": "once"}
    source = await behind_proxy.call("POST", "/baton/v1/sources", {"name": "f", "preset": "generic"}, headers=once)
    again = await behind_proxy.call("POST", "/baton/v1/sources", {"name": "f", "preset": "generic"}, headers=once)
    made = source.json()
    assert made["ingest_url"] == f"{PUBLIC}/v1/ingest/{made['key']}"
    assert (await behind_proxy.client.post(made["ingest_url"], json={"email": "a@nordsoft.ro"})).status_code == 202
    assert again.headers["location"] == source.headers["location"]
    bodies = {
        "leads": {"fields": {"email": "a@nordsoft.ro"}},
        "accounts": {"name": "Nordsoft"},
        "users": {"name": "Ana", "email": "ana@acme.example", "role": "sdr"},
        "subscriptions": {"url": "http://127.0.0.1:9/hook"},
    }
    answers = [await behind_proxy.call("POST", f"/baton/v1/{kind}", body) for kind, body in bodies.items()]
    for answer in [source, *answers]:
        assert answer.status_code == 201, answer.text
        assert (await behind_proxy.get(answer.headers["location"]))["id"] == answer.json()["id"]


async def test_a_problem_keeps_its_type_under_the_prefix(behind_proxy: Api, api: Api) -> None:
    under, plain = await behind_proxy.client.get("/baton/v1/me"), await api.client.get("/v1/me")
    assert under.json()["type"] == plain.json()["type"]


async def test_the_page_at_the_root_has_links_and_says_what_to_do_next(api: Api) -> None:
    for accept in ("text/html,application/xhtml+xml,*/*;q=0.8", "*/*", ""):
        answer = await api.client.get("/", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "What to do next" in answer.text
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "<script" not in answer.text
    head = await api.client.head("/")
    assert (head.status_code, head.content) == (200, b"")


async def test_a_client_that_prefers_json_gets_the_links_as_json(api: Api) -> None:
    answer = await api.client.get("/", headers={"Accept": "application/json"})
    assert (answer.headers["content-type"], answer.headers["vary"]) == ("application/json", "Accept")
    links = answer.json()["links"]
    assert links.keys() == {"documentation", "guides", "openapi", "asyncapi", "health", "ready"}
    for link in links.values():
        assert (await api.client.get(link)).status_code == 200


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("192.168.1.5", "http://192.168.1.5:8000"),
        ("localhost", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("0:0:0:0:0:0:0:0", "http://[::1]:8000"),
        ("fd00::5", "http://[fd00::5]:8000"),
    ],
)
def test_an_ipv6_address_has_brackets_wherever_we_print_it(host: str, address: str) -> None:
    settings = load(host=host)
    assert settings.address == address
    assert f"Baton is at {address} (documentation: {address}/docs)" in greeting(settings, None)
    assert f"export BATON={address} " in greeting(settings, None)


@pytest.mark.parametrize(
    ("public_url", "prefix"),
    [
        (None, ""),
        ("https://crm.example", ""),
        ("https://crm.example/", ""),
        ("https://crm.example/baton", "/baton"),
        ("https://crm.example/a/b/", "/a/b"),
        ("http://[::1]:8000/baton", "/baton"),
    ],
)
def test_the_prefix_is_the_path_of_the_public_url(public_url: str | None, prefix: str) -> None:
    assert load(public_url=public_url).prefix == prefix


@pytest.mark.parametrize(
    "public_url", ["crm.example", "https://", "https://a?b", "https://a/#b", "https://a b", "ftp://a"]
)
def test_a_public_url_that_no_link_can_begin_with_is_refused(public_url: str) -> None:
    with pytest.raises(SettingsError, match="http"):
        load(public_url=public_url)
