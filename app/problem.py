"""The base of every problem that the API returns (RFC 9457), and of those of one status. The rest: app/errors.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final, Self

from starlette.exceptions import HTTPException

TYPE_ROOT = "https://baton.dev/problems/"
MOST_SHOWN: Final = 200
SHOWN: Final = 60
_LONG: Final = re.compile(r"`[^`]*`|[^\s`]{200,}")


class Problem(HTTPException):
    """An error response: `code` (from the class name) for programs, `detail` for people; more members by keyword."""

    status: ClassVar[int] = 500
    code: ClassVar[str]
    retry_after: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"\B[A-Z]", r"_\g<0>", cls.__name__).lower()

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else None
        super().__init__(self.status, detail or self.title(), headers)
        self.members = members

    @classmethod
    def title(cls) -> str:
        return cls.__doc__ or cls.code

    def document(self) -> dict[str, Any]:
        """The members of the problem+json body."""
        errors = [{**one, "detail": brief(one["detail"])} for one in self.members.get("errors", ())]
        return {
            "type": TYPE_ROOT + self.code.replace("_", "-"),
            "title": self.title(),
            "status": self.status,
            "detail": brief(self.detail),
            "code": self.code,
            "errors": errors,
            **{name: value for name, value in self.members.items() if name != "errors"},
        }


class Conflict(Problem):
    """The request conflicts with the present state."""

    status = 409


class Invalid(Problem):
    """The content cannot be accepted as it is."""

    status = 422

    @classmethod
    def in_field(cls, field: str, detail: str, **members: Any) -> Self:
        """The problem for what was sent in this field."""
        return cls(detail, errors=[{"field": field, "code": cls.code, "detail": detail}], **members)


class Gone(Problem):
    """The resource existed and has been removed."""

    status = 410


class Unauthorized(Problem):
    """The caller is not authenticated."""

    status = 401


class Forbidden(Problem):
    """The caller may not do this."""

    status = 403


class Unavailable(Problem):
    """The service is temporarily unavailable; send the request again."""

    status = 503
    retry_after = 1


def brief(detail: str) -> str:
    """A message for people, in which what somebody sent is shortened: a name in backticks, or what has no blank."""
    return _LONG.sub(lambda found: found[0] if len(found[0]) <= MOST_SHOWN else _cut(found[0]), detail)


def _cut(text: str) -> str:
    return f"{text[:SHOWN]}…{text[-1] if text[0] == text[-1] == '`' else ''}"


def catalogue(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Every problem class below `root`, depth first."""
    for child in root.__subclasses__():
        yield child
        yield from catalogue(child)
