"""Refusals to move an opportunity speak of the opportunity; those of a lead of the lead."""

from __future__ import annotations

from typing import Any

import pytest

from app.journeys.refusals import problem
from app.lifecycle.answer import AlreadyInStage, BackwardMove, TransitionNotAllowed
from tests.api import Api
from tests.pipeline.test_advance import step
from tests.pipeline.test_forecast_members import qualified

STAGES = ("unqualified", "qualified", "proposal", "negotiation", "won", "lost")
ACTIONS = ("qualify", "advance", "win", "lose", "reopen")


@pytest.mark.parametrize("stage", ["qualified", "negotiation", "won"])
async def test_no_refusal_of_an_opportunity_speaks_of_a_lead(api: Api, stage: str) -> None:
    ae = await api.user("ae")
    made = await qualified(api, ae)
    if stage != "qualified":
        moved: dict[str, Any] = {"action": "win"} if stage == "won" else {"action": "advance", "to": stage}
        assert (await step(api, made, ae, **moved)).status_code == 201
    refused = []
    for members in [{"to": one} for one in (*STAGES, "nowhere")] + [{"action": one} for one in (*ACTIONS, "fly")]:
        for more in ({}, {"reason_code": "weather"}):
            answer = await step(api, made, None, **members, **more)  # a machine, which may take few of them
            refused += [answer.json()] if answer.status_code != 201 else []
    codes = {one["code"] for one in refused}
    assert {"already_in_stage", "backward_move", "transition_not_allowed"} <= codes or stage == "won"
    for one in refused:
        assert "lead" not in f"{one['detail']} {one['title']}".replace("lead or opportunity", ""), one


REFUSALS = (AlreadyInStage("won", ()), BackwardMove("won", "lost", ()), TransitionNotAllowed("won", "fly", ()))


@pytest.mark.parametrize("of", ["lead", "opportunity"])
@pytest.mark.parametrize("why", REFUSALS)
def test_a_refusal_names_what_was_to_be_moved(why: Any, of: Any) -> None:
    told = str(problem(why, of).detail)
    other = {"lead": "opportunity", "opportunity": "lead"}[of]
    assert other not in told
    assert of in told or isinstance(why, TransitionNotAllowed)
