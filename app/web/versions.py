"""ETag and If-Match: optimistic concurrency on single resources (RFC 9110, section 13.1.1)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.errors import MalformedHeader, VersionConflict


def etag(version: int) -> str:
    return f'"{version}"'


async def expected_version(request: Request) -> frozenset[str] | None:
    """The entity tags of If-Match, or None where any version is accepted; MalformedHeader."""
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    tags = frozenset(part.strip() for part in header.split(","))
    if not all(part.endswith('"') and part.startswith(('"', 'W/"')) for part in tags):
        raise MalformedHeader('If-Match must be a list of quoted entity tags, such as If-Match: "7".')
    return tags


Expected = Annotated[frozenset[str] | None, Depends(expected_version)]


def check(expected: frozenset[str] | None, version: int) -> None:
    """VersionConflict (412) unless If-Match is absent or has this version. Call it with the row locked.

    Weak tags never match (RFC 9110, section 13.1.1).
    """
    if expected is not None and etag(version) not in expected:
        raise VersionConflict(
            f"The current version is {version}: read it, then send its ETag in If-Match.", version=version
        )
