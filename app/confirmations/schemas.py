"""Request and response models of the links by which people confirm and withdraw consents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.leads.consent_schemas import Purpose
from app.web.fields import RequestBody, ResponseBody


class Confirmed(ResponseBody):
    state: Literal["confirmed"]


class WithdrawalLinkIn(RequestBody):
    purposes: Annotated[list[Purpose], Field(min_length=1, max_length=20, examples=[["email_marketing"]])]


class WithdrawalLinkOut(ResponseBody):
    id: str = Field(description="In the consent log `withdrawal_link_id` of what the link withdraws.")
    withdraw_url: str = Field(description="Follows the public address of Baton. The link needs no key.")


class Withdrawable(ResponseBody):
    purposes: list[str]


class Withdrawn(ResponseBody):
    state: Literal["withdrawn"]
