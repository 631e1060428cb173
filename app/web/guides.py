"""The pages of `docs/`, the README and the like as HTML at /docs/…: no script, and nothing from the internet.

They are what the tree holds, under an address of their own: docs/forms.md is /docs/forms, README.md is /docs/readme. A
wheel holds them in `app/guides`.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from markdown_it import MarkdownIt
from markdown_it.token import Token
from starlette.responses import HTMLResponse, RedirectResponse

from app import errors

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The pages beside those of docs/, whose address is their path there without `.md`.
PAGES: Final = {
    "README.md": "readme",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "benchmarks/README.md": "benchmarks/readme",
}
FOLDERS: Final = ("docs", "examples", "openapi")
# Made by the service itself, so that the document is that of this process.
LIVE: Final = {"openapi/openapi.json": "/openapi.json", "openapi/asyncapi.json": "/asyncapi.json"}
READERS: Final = {
    "forms": "sends forms",
    "converting": "converts from a CRM",
    "receivers": "listens",
    "policies": "writes the policy",
    "reports": "reads the numbers",
    "operations": "runs it",
    "contributing": "changes the code",
}
MEDIA_TYPES: Final = {".css": "text/css", ".json": "application/json", ".png": "image/png"}
STYLE: Final = Path(__file__).with_name("guides.css")
MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")
PAGE: Final = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title} – Baton</title>
<link rel="stylesheet" href="{prefix}/docs/guides.css"></head>
<body>
<nav><a href="{prefix}/docs/readme">Baton</a> <a href="{prefix}/docs/guides">Guides</a> <a href="{prefix}/docs">API</a>
<a href="{prefix}/docs/changelog">Changelog</a></nav>
<main>
{contents}{body}</main>
</body>
</html>
"""

pages = APIRouter()


@pages.get("/docs/{address:path}", include_in_schema=False)
async def guide(request: Request, address: str) -> Response:
    """A page as HTML, another file as it is; the path of a page, or a slash at the end, leads to the address."""
    prefix: str = request.app.state.settings.prefix
    known = addresses()
    plain = PAGES.get(address) or address.removesuffix("/").removesuffix(".md")
    if not plain or (plain != address and plain in known):
        return RedirectResponse(f"{prefix}/docs/{plain}".removesuffix("/"), 308)
    if address not in known:
        raise errors.NotFound()
    file = known[address]
    if file.is_dir() or file.suffix == ".md":
        return HTMLResponse(page(address, prefix), headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})
    media_type = MEDIA_TYPES.get(file.suffix, "text/plain")
    return Response(file.read_bytes(), media_type=media_type)


@cache
def addresses() -> dict[str, Path]:
    """Each file and folder that is served, by its address below /docs/. A page comes before a folder of its name."""
    tree = _tree()
    served = sorted(_served(tree), key=Path.is_file)
    found = {address_of(path.relative_to(tree).as_posix()): path for path in served}
    return {**found, "guides.css": STYLE}


def address_of(path: str) -> str:
    """The address below /docs/ of a file or folder of the tree, by its path there."""
    return PAGES.get(path) or path.removeprefix("docs/").removesuffix(".md")


@cache
def page(address: str, prefix: str) -> str:
    """The page as HTML; links to files of the tree lead to their addresses, below the path of BATON_PUBLIC_URL."""
    tree, file = _tree(), addresses()[address]
    tokens = MARKDOWN.parse(_listing(file) if file.is_dir() else file.read_text("utf-8"))
    folder = (file if file.is_dir() else file.parent).relative_to(tree).as_posix()
    for token in tokens:
        for inner in token.children or ():
            for name in {"href", "src"} & inner.attrs.keys():
                inner.attrs[name] = _link(folder, str(inner.attrs[name]), prefix)
    headings = _with_anchors(tokens)
    return PAGE.format(
        title=escape(headings[0][2]) if headings else "",
        prefix=escape(prefix),
        contents=_contents(headings),
        body=MARKDOWN.renderer.render(tokens, MARKDOWN.options, {}),
    )


def readers(prefix: str) -> str:
    """Links to the page of each reader, as HTML for the page of the API."""
    links = [f'<a href="{escape(prefix)}/docs/{address}">Who {who}</a>' for address, who in READERS.items()]
    return " · ".join([f'<a href="{escape(prefix)}/docs/guides">Guides</a>', *links])


def _tree() -> Path:
    """The folder with README.md and docs: inside the package `app` where a wheel was installed, else around it."""
    package = Path(__file__).parents[1]
    inside = package / "guides"
    return inside if inside.is_dir() else package.parent


def _served(tree: Path) -> list[Path]:
    within = [path for folder in FOLDERS for path in (tree / folder).rglob("*") if "__pycache__" not in path.parts]
    named = [tree / name for name in (*PAGES, "LICENSE", *FOLDERS[1:])]
    return [path for path in (*within, *named) if path.exists() and path.relative_to(tree).as_posix() not in LIVE]


def _listing(folder: Path) -> str:
    """A folder as Markdown: its pages by their titles, its other files by their names."""
    files = sorted(folder.iterdir())
    titles = [(file.read_text("utf-8").partition("\n")[0] if file.suffix == ".md" else file.name) for file in files]
    links = [f"- [{title.strip('# ')}]({file.name})" for file, title in zip(files, titles, strict=True)]
    return "\n".join([f"# {folder.name.capitalize()}", "", *links])


def _link(folder: str, target: str, prefix: str) -> str:
    path, hash_, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return target
    found = posixpath.normpath(posixpath.join(folder, path))
    return f"{prefix}{LIVE.get(found) or '/docs/' + address_of(found)}{hash_}{anchor}"


def _with_anchors(tokens: Sequence[Token]) -> list[tuple[str, str, str]]:
    """Gives each heading the anchor that GitHub gives it; tag, anchor and text of each."""
    found: list[tuple[str, str, str]] = []
    used = Counter[str]()
    for heading, inline in pairwise(tokens):
        if heading.type == "heading_open":
            text = "".join(part.content for part in inline.children or ())
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            anchor = f"{name}-{used[name]}" if used[name] else name
            used[name] += 1
            heading.attrs["id"] = anchor
            found.append((heading.tag, anchor, text))
    return found


def _contents(headings: Sequence[tuple[str, str, str]]) -> str:
    links = [f'<li><a href="#{anchor}">{escape(text)}</a></li>\n' for tag, anchor, text in headings if tag == "h2"]
    return f"<details><summary>On this page</summary>\n<ul>\n{''.join(links)}</ul></details>\n" if links else ""
