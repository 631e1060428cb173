"""A browser without JavaScript: it keeps cookies, follows redirects, and sends the forms that stand in a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.api import Api

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Form:
    """A form with the values that its fields have in the page."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)


class Page(HTMLParser):
    """What the tests look at in a page."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.status, self.html, self.headers = answer.status_code, answer.text, answer.headers
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.forms: list[Form] = []
        self.labels: set[str] = set()
        self.text = ""
        self._form: Form | None = None
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "form":
            self._form = Form(given.get("method") or "get", given.get("action") or "")
            self.forms.append(self._form)
        if tag == "label":
            self.labels.add(given.get("for") or "")
        if self._form is not None and tag in ("input", "select", "textarea", "button"):
            if given.get("name"):
                self._form.fields[given["name"] or ""] = given.get("value") or ""
            if given.get("type") != "hidden":
                self._form.ids.add(given.get("id") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of each tag of that name."""
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def headings(self) -> list[int]:
        return [int(tag[1]) for tag, _ in self.tags if tag in ("h1", "h2", "h3", "h4")]

    def form(self, action: str) -> Form:
        """The one form whose action ends so."""
        [found] = [one for one in self.forms if one.action.endswith(action)]
        return found


class Browser:
    """A browser of its own for the application of `api`."""

    def __init__(self, api: Api, base_url: str = "http://baton.example") -> None:
        self.api = api
        transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url=base_url, follow_redirects=True)

    async def get(self, path: str) -> Page:
        return Page(await self.client.get(path))

    async def send(self, form: Form, **values: str) -> Page:
        """Send a form, with these values beside or instead of those it has."""
        content = urlencode({**form.fields, **values})
        return Page(await self.client.request(form.method.upper(), form.action, content=content, headers=FORM))

    async def log_in(self, key: str | None = None) -> Page:
        """Log in with a key, by default that of `api`."""
        page = await self.get("/console/session")
        return await self.send(page.form("/console/session"), key=key or self.api.key)

    async def key_with(self, *scopes: str) -> str:
        """A new key that has only these scopes."""
        made: dict[str, Any] = await self.api.post("/v1/keys", {"name": "of a reader", "scopes": list(scopes)})
        return str(made["secret"])


async def logged_in(api: Api, *scopes: str) -> Browser:
    """A browser that is logged in: with a key that has these scopes, or with that of `api`."""
    browser = Browser(api)
    page = await browser.log_in(await browser.key_with(*scopes) if scopes else None)
    assert page.status == 200, page.html
    return browser
