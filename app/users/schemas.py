"""Request and response models of a changed user."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from app import ids
from app.database.transaction import Record
from app.tenants.schemas import UserOut, UserPatch, show_user
from app.users.hand_over import Work
from app.web.fields import ID_PATTERN

POOL = "pool"


def _read_hand_to(value: object) -> UUID | str:
    try:
        return POOL if value == POOL else ids.read("user", value if isinstance(value, str) else "")
    except ValueError:
        raise PydanticCustomError("hand_to_malformed", "write `pool`, or the id of a user") from None


SHOWN = {"anyOf": [{"const": POOL}, {"type": "string", "pattern": f"^{ids.PREFIXES['user']}_{ID_PATTERN}$"}]}
HandTo = Annotated[UUID | Literal["pool"], PlainValidator(_read_hand_to), WithJsonSchema(SHOWN)]


class UserChange(UserPatch):
    hand_to: HandTo | None = Field(
        default=None,
        description="With `active` false: who gets the open leads and opportunities, a user or the pool of the role.",
    )

    @field_validator("hand_to")
    @classmethod
    def _only_when_deactivated(cls, value: UUID | str | None, info: ValidationInfo) -> UUID | str | None:
        if value is not None and info.data.get("active") is not False:
            raise PydanticCustomError("hand_to_unexpected", "`hand_to` is accepted with `active` false only")
        return value


class UserChanged(UserOut):
    """The user. After a deactivation also the leads and opportunities that the user owned."""

    open_leads: int | None = Field(default=None, description="Open leads that the user owned when deactivated.")
    open_opportunities: int | None = Field(default=None, description="Open opportunities likewise.")
    handed_to: str | None = Field(default=None, description="Who has them now; null: the user still owns them.")


def show_change(row: Record, work: Work | None) -> dict[str, Any]:
    if work is None:
        return show_user(row)
    handed_to = ids.show("user", work.handed_to) if isinstance(work.handed_to, UUID) else work.handed_to
    owned = {"open_leads": work.leads, "open_opportunities": work.opportunities, "handed_to": handed_to}
    return {**show_user(row), **owned}
