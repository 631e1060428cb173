"""The page at `/`: where the documentation is, whether the service is up, and what to do next."""

from __future__ import annotations

from html import escape
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse

from app.settings import Settings
from app.web.accept import prefers
from app.web.documentation import CONTENT_SECURITY_POLICY
from app.web.fields import answer

LINKS: Final = {
    "documentation": ("/docs", "Documentation: every endpoint, with examples"),
    "guides": (
        "/docs/guides",
        "Guides: for who sends forms, converts, listens, writes the policy, reads the numbers, runs it",
    ),
    "openapi": ("/openapi.json", "OpenAPI document, for generated clients"),
    "asyncapi": ("/asyncapi.json", "AsyncAPI document: the events, by feed, webhook and broker"),
    "health": ("/healthz", "Health: the process is running"),
    "ready": ("/readyz", "Readiness: the database answers and its schema is up to date"),
}
PAGE: Final = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Baton</title>
<style>body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }}
pre {{ overflow-x: auto; background: #8881; padding: 1rem }}</style></head>
<body>
<h1>Baton {release}</h1>
<p>The hand-off of leads from marketing to sales.</p>
<ul>
{links}
</ul>
<h2>What to do next</h2>
<p>Take the admin key that the first start printed (<code>python3 -m app keys create</code> makes another), then
create a source for a form and a lead:</p>
<pre>
export BATON={address} KEY=your-admin-key
curl -s -H "Authorization: Bearer $KEY" $BATON/v1/me
curl -s -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
     -d '{{"name":"My form","preset":"generic"}}' $BATON/v1/sources
curl -s -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
     -d '{{"fields":{{"email":"ada@example.com","company":"Example"}}}}' $BATON/v1/leads
</pre>
</body>
</html>
"""

pages = APIRouter()


@pages.get("/", include_in_schema=False)
async def home(request: Request) -> Response:
    """The page, or its links as JSON for a client that prefers JSON."""
    settings: Settings = request.app.state.settings
    release: str = request.app.version
    if prefers(request.headers.get("accept", ""), "application/json", "text/html"):
        links = {name: settings.prefix + path for name, (path, _) in LINKS.items()}
        response = answer({"name": "Baton", "version": release, "links": links})
        response.headers["Vary"] = "Accept"
        return response
    headers = {"Vary": "Accept", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return HTMLResponse(page(settings, release), headers=headers)


def page(settings: Settings, release: str) -> str:
    """The page as HTML; its links carry the path of BATON_PUBLIC_URL."""
    links = "\n".join(
        f'<li><a href="{escape(settings.prefix + path)}">{escape(label)}</a></li>' for path, label in LINKS.values()
    )
    return PAGE.format(release=escape(release), links=links, address=escape(settings.address))
