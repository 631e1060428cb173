"""Answers HEAD wherever GET is answered: with the same status and headers; the server leaves out the body."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

WITHOUT_BODY = "baton.without_body"  # of an ASGI scope: nobody will get the body


class HeadAsGet:
    """ASGI middleware: a HEAD is served as a GET. The server below keeps the method HEAD, so it sends no body.

    Paths that begin with one of `but` have their own HEAD: a provider's handshake may depend on the method, and a HEAD
    confirms no consent and uses up no login link.
    """

    def __init__(self, app: ASGIApp, but: tuple[str, ...]) -> None:
        self.app, self.but = app, but

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or scope["path"].startswith(self.but):
            await self.app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET", WITHOUT_BODY: True}
        await self.app(as_get, receive, send)
        scope["route"] = as_get.get("route")  # for the metrics
