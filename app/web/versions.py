"""ETag, If-Match and If-None-Match: versions of single resources (RFC 9110, section 13.1; docs/decisions/0019)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from app.database.plain_json import write_json
from app.errors import MalformedHeader, VersionConflict


def etag(version: int, moved: Any = None) -> str:
    """The entity tag of a version. `moved`: members of the answer that changed since, without a new version."""
    return f'"{version}"' if moved is None else f'"{version}-{hashlib.sha256(write_json(moved)).hexdigest()[:12]}"'


async def expected_version(request: Request) -> frozenset[str] | None:
    """The entity tags of If-Match, or None where any version is accepted. Raises MalformedHeader for other text."""
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    tags = frozenset(part.strip() for part in header.split(","))
    if not all(part.endswith('"') and part.startswith(('"', 'W/"')) for part in tags):
        raise MalformedHeader('If-Match must be a list of quoted entity tags, such as If-Match: "7".')
    return tags


Expected = Annotated[frozenset[str] | None, Depends(expected_version)]


def check(expected: frozenset[str] | None, version: int) -> None:
    """Raises VersionConflict (412) unless If-Match is absent or has this version. Call it with the row locked.

    A weak tag names a version as well, and so does one with an ending (`"7-gzip"`, `"7;br"`): proxies that compress
    answers change tags like that (docs/decisions/0027).
    """
    tags = (tag.removeprefix("W/") for tag in expected or ())
    if expected is not None and not any(tag.startswith(tuple(f'"{version}{end}' for end in '"-;')) for tag in tags):
        raise VersionConflict(
            f"The current version is {version}: read it, then send its ETag in If-Match.", version=version
        )


def moved(stored: Mapping[Any, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from the stored ones. Where there are none, a change writes nothing."""
    return {name: value for name, value in values.items() if not _is_same(stored[name], value)}


def _is_same(stored: Any, value: Any) -> bool:
    if isinstance(value, dict | list):  # as JSON, where true is not 1
        return json.dumps(stored, sort_keys=True) == json.dumps(value, sort_keys=True)
    return bool(stored == value)


def unless_known(request: Request, response: Response) -> Response:
    """The response to a GET, or 304 without a body where If-None-Match has its entity tag (compared weakly)."""
    if request.method != "GET" or response.status_code != 200:
        return response
    tag, known = response.headers.get("etag"), request.headers.getlist("if-none-match")
    if tag is None or not known:
        return response
    tags = {part.strip().removeprefix("W/") for part in ",".join(known).split(",")}
    return Response(status_code=304, headers={"ETag": tag}) if tags & {tag, "*"} else response
