"""Response model of confirmations."""

from __future__ import annotations

from typing import Literal

from app.web.fields import ResponseBody


class Confirmed(ResponseBody):
    state: Literal["confirmed"]
