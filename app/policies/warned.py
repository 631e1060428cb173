"""The warnings of a policy in its responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.policy.read import problems, read_document
from app.web.fields import ResponseBody


class PolicyWarning(ResponseBody):
    """What a policy may be wrong about without being invalid; `place` is a JSON pointer into the document."""

    place: str
    code: str
    detail: str


def show_warnings(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is checked today may be more than when the version was published: faults of later rules are shown too."""
    return [{"place": one.place, "code": one.code, "detail": one.detail} for one in problems(read_document(document))]
