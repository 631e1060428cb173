"""What every problem has: a status, a stable code, a text, and further members (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from starlette.exceptions import HTTPException

TYPE_ROOT = "https://baton.dev/problems/"


class Problem(HTTPException):
    """What went wrong, for a machine (`code`) and for a person (`detail`); further members by keyword."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "problem"
    retry_after: ClassVar[int | None] = None

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else None
        super().__init__(status_code=self.status, detail=detail or self.title(), headers=headers)
        self.members = members

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.code).strip().splitlines()[0]

    def document(self) -> dict[str, Any]:
        """The members of the problem+json body, without empty ones."""
        return problem_document(self.status, self.code, self.title(), self.detail, self.members)


def problem_document(
    status: int, code: str, title: str, detail: str, members: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    body = {
        "type": TYPE_ROOT + code.replace("_", "-"),
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return {**body, "errors": [], **(members or {})}


def catalogue(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Every problem class below `root`, depth first."""
    for child in root.__subclasses__():
        yield child
        yield from catalogue(child)
