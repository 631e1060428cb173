"""HEAD wherever GET is, OPTIONS on every path, and Allow."""

import pytest

from tests.api import Api
from tests.contract.contract import ALL, DOCUMENT, METHODS, PROBLEM
from tests.contract.world import create_one_of_each

DOCUMENTS = ("/openapi.json", "/asyncapi.json")
PAGES = ("/", "/docs", "/docs/forms", *DOCUMENTS, "/healthz", "/readyz", "/metrics", "/docs/static/swagger-ui.css")
READS = [operation for operation in ALL if operation.method == "GET" and operation.path.startswith("/v1")]


async def test_head_has_the_status_and_headers_of_get_and_no_body(api: Api) -> None:
    ids = await create_one_of_each(api)
    for path in [
        *PAGES,
        *(operation.at(**{**ids, "name": "typeform"}) for operation in READS),
        "/v1/leads?foo=1",
        "/nothing",
    ]:
        got, head = [await api.call(method, path) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (got.status_code, b""), path
        for name in ("content-type", "etag", "location", "cache-control", "content-security-policy"):
            assert head.headers.get(name) == got.headers.get(name), (path, name)
    assert (await api.client.head("/v1/leads")).status_code == 401


async def test_head_of_a_path_without_get_is_a_405(api: Api) -> None:
    answer = await api.call("HEAD", "/v1/activities")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")


async def test_options_of_every_path_names_its_methods_without_a_key(api: Api) -> None:
    ids = await create_one_of_each(api)
    for path, item in DOCUMENT["paths"].items():
        methods = {method.upper() for method in METHODS if method in item}
        expected = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        at = next(operation for operation in ALL if operation.path == path).at(**{**ids, "name": "typeform"})
        answer = await api.client.options(at)
        assert (answer.status_code, answer.content) == (204, b""), path
        if not path.startswith("/v1/ingest/"):  # answers a browser's preflight
            assert set(answer.headers["allow"].split(", ")) == expected, path
    for path in PAGES:
        answer = await api.client.options(path)
        assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS"), path


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/lead", "/v1/leads/", "/v1/leads/x/y/z"])
async def test_options_of_a_path_that_does_not_exist_is_a_404(api: Api, path: str) -> None:
    answer = await api.client.options(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


@pytest.mark.parametrize(
    ("path", "allow"), [("/v1/leads", "GET, HEAD, OPTIONS, POST"), ("/healthz", "GET, HEAD, OPTIONS")]
)
async def test_a_method_that_a_path_does_not_have_is_a_405_with_allow(api: Api, path: str, allow: str) -> None:
    for method in ("PUT", "TRACE", "BREW"):
        answer = await api.call(method, path)
        assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (
            405,
            "method_not_allowed",
            allow,
        )
