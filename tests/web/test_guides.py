"""The guides at /docs/…: every page of the tree is reached from /docs, and every link and anchor leads somewhere."""

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from markdown_it.token import Token

from app.web import guides
from tests.api import Api, running
from tests.web.test_addresses import PUBLIC, StrippingProxy

ROOT = Path(__file__).parents[2]
SITE = "http://test"
WRITTEN = [
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("docs/**/*.png"),
        *ROOT.glob("*.md"),
        *ROOT.glob("examples/*.*"),
    )
]


READERS_PAGES = ["README.md", *(f"docs/{name}.md" for name in guides.READERS if name != "contributing")]
COMMAND = re.compile(r"^\s*(api|curl|baton|python3?) ", re.MULTILINE)
RUN_ELSEWHERE = ("python3 -m app serve\n", "python3 -m app test\n")  # by .ci/run itself


class Page(HTMLParser):
    """Where a page leads, its anchors, and what it loads or runs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.anchors, self.loads = set[str](), set[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given["id"]} if "id" in given else set()
        if tag == "a":
            self.links.add(given["href"])
        self.loads |= {given[name] for name in ("src", "href") if name in given and tag != "a"}
        assert tag not in ("script", "style", "iframe"), tag
        assert not [name for name in given if name.startswith("on") or name == "style"]


async def crawled(api: Api, start: str = "/docs/guides", prefix: str = "") -> dict[str, Page]:
    """All pages and files that are reached from there, by their path."""
    found: dict[str, Page] = {}
    waiting = [prefix + start]
    while waiting:
        path = waiting.pop()
        answer = await api.client.get(path)
        assert answer.status_code == 200, path
        is_guide = path.startswith(f"{prefix}/docs/") and answer.headers["content-type"].startswith("text/html")
        found[path] = Page(answer.text if is_guide else "")
        targets = {urljoin(SITE + path, link) for link in found[path].links | found[path].loads}
        inside = {urlsplit(target).path for target in targets if target.startswith(SITE + "/")}
        waiting += inside - found.keys() - set(waiting)
    return found


async def test_every_link_and_anchor_of_every_page_leads_somewhere(api: Api) -> None:
    pages = await crawled(api)
    for path, page in pages.items():
        for link in page.links:
            target = urlsplit(urljoin(SITE + path, link))
            if target.netloc == "test" and target.fragment:
                assert target.fragment in pages[target.path].anchors, f"{path}: {link}"


@pytest.mark.parametrize("path", [path for path in [*WRITTEN, "benchmarks/README.md"] if path.endswith(".md")])
async def test_each_page_is_the_one_of_its_address(path: str) -> None:
    heading = (ROOT / path).read_text("utf-8").partition("\n")[0].removeprefix("# ").replace("`", "")
    assert f"<title>{escape(heading)} – Baton</title>" in guides.page(guides.address_of(path), "")


async def test_every_page_picture_and_example_is_reached_and_loads_nothing_from_elsewhere(api: Api) -> None:
    pages = await crawled(api)
    assert {Path(path).suffix for path in WRITTEN} >= {".md", ".png", ".py", ".html"}
    assert {f"/docs/{guides.address_of(path)}" for path in WRITTEN} - pages.keys() == set()
    loaded = {load for page in pages.values() for load in page.loads}
    assert "/docs/guides.css" in loaded
    assert [load for load in loaded if not load.startswith("/docs/")] == []


async def test_a_page_may_run_no_script(api: Api) -> None:
    answer = await api.client.get("/docs/forms")
    assert answer.headers["content-security-policy"] == guides.CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in guides.CONTENT_SECURITY_POLICY
    assert "script-src" not in guides.CONTENT_SECURITY_POLICY


async def test_the_pages_work_under_the_path_of_a_proxy(api: Api) -> None:
    async with running(api.app.state.settings.model_copy(update={"public_url": PUBLIC})) as behind:
        transport = httpx.ASGITransport(StrippingProxy(behind.app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=SITE) as client:
            proxied = Api(behind.app, client, behind.key, behind.tenant_id)
            assert "/baton/docs/forms" in await crawled(proxied, prefix="/baton")
            moved = await client.get("/baton/docs/forms.md")
            assert (moved.status_code, moved.headers["location"]) == (308, "/baton/docs/forms")


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/docs/forms/", "/docs/forms"),
        ("/docs/forms.md", "/docs/forms"),
        ("/docs/decisions/", "/docs/decisions"),
        ("/docs/", "/docs"),
    ],
)
async def test_another_spelling_of_an_address_leads_to_the_page(api: Api, path: str, leads_to: str) -> None:
    answer = await api.client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (308, leads_to)
    assert (await api.client.get(leads_to)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/docs/nothing",
        "/docs/nothing.md",
        "/docs//forms",
        "/docs/examples/../../pyproject.toml",
        "/docs/examples/..%2f..%2fpyproject.toml",
        "/docs/%00",
        "/docs/docs/forms",
        "/docs/Dockerfile",
    ],
)
async def test_what_is_no_page_is_404_and_nothing_else_of_the_machine_is_served(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_page_of_the_api_and_the_first_page_lead_to_the_guides(api: Api) -> None:
    shown = (await api.client.get("/docs")).text
    for address in ("guides", *guides.READERS):
        assert f'href="/docs/{address}"' in shown
    assert 'href="/docs/guides"' in (await api.client.get("/", headers={"Accept": "text/html"})).text


async def test_an_example_is_served_as_text_and_a_picture_as_a_picture(api: Api) -> None:
    form, picture = [
        await api.client.get(f"/docs/{name}") for name in ("examples/contact_form.html", "console/today.png")
    ]
    assert form.headers["content-type"].startswith("text/plain")
    assert form.headers["x-content-type-options"] == "nosniff"
    assert picture.headers["content-type"] == "image/png"


def test_headings_have_the_anchors_that_github_gives_them() -> None:
    tokens = guides.MARKDOWN.parse("# What `if` says, exactly\n\n## A\n\n## A\n\n### The four V's: in_list\n")
    assert [anchor for _, anchor, _ in guides._with_anchors(tokens)] == [
        "what-if-says-exactly",
        "a",
        "a-1",
        "the-four-vs-in_list",
    ]


def test_text_of_a_page_is_never_markup() -> None:
    assert "<b>" not in guides.MARKDOWN.render("<b>x</b> `<b>`")


def test_each_page_names_itself() -> None:
    for path in WRITTEN:
        if path.endswith(".md"):
            assert re.search(r"<title>[^<]+ – Baton</title>", guides.page(guides.address_of(path), "")), path


def fences(name: str) -> list[Token]:
    return [token for token in guides.MARKDOWN.parse((ROOT / name).read_text("utf-8")) if token.type == "fence"]


@pytest.mark.parametrize("name", READERS_PAGES)
def test_each_command_of_a_readers_page_is_run_by_ci(name: str) -> None:
    for fence in fences(name):
        run_here = fence.info == "bash walk-through" or fence.content in RUN_ELSEWHERE
        sent_by_a_test = name == "docs/reports.md" and fence.info == ""  # tests/reports/test_documented.py
        assert run_here or sent_by_a_test or not COMMAND.search(fence.content), fence.content


@pytest.mark.parametrize("name", READERS_PAGES[1:])
def test_a_readers_page_begins_with_the_shortest_thing_that_works(name: str) -> None:
    assert fences(name)[0].info == "bash walk-through"
    lines = fences(name)[0].map or [99]
    assert lines[0] < 20, "it is not at the head of the page"


def test_ci_runs_each_readers_page() -> None:
    (named,) = re.findall(r"README\.md docs/\{(.*)\}\.md", (ROOT / ".ci/pages").read_text())
    assert {"README.md", *(f"docs/{one}.md" for one in named.split(","))} >= set(READERS_PAGES)
