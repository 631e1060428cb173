"""Request models of exports."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from app.web.fields import RequestBody


class IdentityIn(RequestBody):
    """At least one identity of the person; of several, what is stored about each."""

    email: Annotated[str, StringConstraints(max_length=254)] | None = Field(default=None, examples=["anna@nordsoft.ro"])
    phone: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="With its country code; it has to be the number of one lead alone."
    )
    external_id: Annotated[str, StringConstraints(max_length=320)] | None = Field(
        default=None, description="namespace:value"
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.email is None and self.phone is None and self.external_id is None:
            raise PydanticCustomError("identity_required", "give email, phone or external_id")
        return self


class ExportIn(RequestBody):
    identity: IdentityIn
