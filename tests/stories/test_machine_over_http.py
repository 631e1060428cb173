"""Two users and a manager work with three leads over HTTP, in any order, while time passes and policies are activated.

A refused request has changed nothing; after each run `baton verify` finds no fault: each journey follows from its log.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, ClassVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from app.journeys.refresh import refresh_due
from app.settings import Settings
from tests.api import NUMBERS, Api, running
from tests.conversion.steps import BANT
from tests.databases import Databases, as_url
from tests.merging.steps import faults
from tests.rules.make import POLICIES
from tests.stories.life import STAGES

# Each action with who asks for it and with what.
ACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "qualify": ("marketing", {"override_reason": "met at a fair"}),
    "accept": ("sdr", {}),
    "hand_over": ("sdr", {"bant": BANT, "conversion": False}),
    "return": ("ae", {"reason_code": "no_need"}),
    "confirm": ("ae", {"bant": BANT}),
    "recycle": ("sdr", {"reason_code": "timing"}),
    "disqualify": ("sdr", {"reason_code": "no_budget"}),
    "reopen": ("sdr", {"reason_code": "mistake", "note": "it was not"}),
}
NO_EDGE = ("transition_not_allowed", "already_in_stage", "backward_move")


class Team(RuleBasedStateMachine):
    """`run` waits for a coroutine in the loop of the application; `done` counts the requests that were not refused."""

    runner: ClassVar[asyncio.Runner]
    api: ClassVar[Api]
    people: ClassVar[dict[str, str]]
    done: ClassVar[Counter[str]] = Counter()
    leads = Bundle("leads")

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def call(self, method: str, path: str, body: Any = None, role: str | None = None) -> Any:
        key = {"Idempotency-Key": f"key-{next(NUMBERS)}"}
        actor = self.people[role] if role else None
        answer = self.run(self.api.call(method, path, body, actor=actor, headers=key))
        assert answer.status_code < 500, answer.text
        return answer

    def change(self, lead: str, path: str, body: Any, role: str | None = None) -> None:
        """A request about one lead, which is done or refused as a whole."""
        before = self.call("GET", lead)
        answer = self.call("POST", lead + path, body, role)
        after = self.call("GET", lead)
        if answer.status_code >= 400:
            assert after.json()["version"] == before.json()["version"], answer.text
        else:
            self.done[body["action"] if path == "/transitions" else path] += 1

    @initialize(target=leads, policy=st.sampled_from(sorted(POLICIES)))
    def begin(self, policy: str) -> Any:
        self.run(self.api.publish(POLICIES[policy]))
        return multiple(*(f"/v1/leads/{self.run(self.api.mql())['id']}" for _ in range(3)))

    @rule(lead=leads, which=st.integers(0, 20))
    def act(self, lead: str, which: int) -> None:
        """One of the actions that lead on from where the lead stands, whether or not their conditions hold."""
        actions = self.call("GET", f"{lead}/eligibility").json()["actions"]
        here = {one["action"] for one in actions if one["code"] not in NO_EDGE}
        names = [one for one in ACTIONS if one in here]
        if names:
            self.ask(lead, names[which % len(names)])

    @rule(lead=leads, action=st.sampled_from(sorted(ACTIONS)))
    def ask(self, lead: str, action: str) -> None:
        role, members = ACTIONS[action]
        owner = {"owner_id": self.people["ae"]} if action == "hand_over" else {}
        self.change(lead, "/transitions", {"action": action, **members, **owner}, role)

    @rule(lead=leads, to=st.sampled_from(STAGES))
    def correct(self, lead: str, to: str) -> None:
        steps = self.call("GET", f"{lead}/transitions").json()["data"]
        members = {"reason_code": "mistake", "note": "wrong lead", "correction_of": steps[-1]["id"]}
        self.change(lead, "/transitions", {"action": "correct", "to": to, **members}, "manager")

    @rule(lead=leads, days=st.integers(1, 40))
    def recycle_until(self, lead: str, days: int) -> None:
        members = {"reason_code": "timing", "wake_at": self.api.ago(days=-days)}
        self.change(lead, "/transitions", {"action": "recycle", **members}, "sdr")

    @rule(lead=leads, type_=st.sampled_from(["demo_request", "price_list", "unsubscribe"]), days=st.integers(0, 50))
    def show_interest(self, lead: str, type_: str, days: int) -> None:
        self.change(lead, "/activities", {"type": type_, "occurred_at": self.api.ago(days=days)})

    @rule(lead=leads)
    def call_up(self, lead: str) -> None:
        self.change(lead, "/activities", {"type": "call", "kind": "contact_attempt"}, "sdr")

    @rule(lead=leads)
    def convert(self, lead: str) -> None:
        self.change(lead, "/conversion", {}, "ae")

    @rule(lead=leads)
    def revert(self, lead: str) -> None:
        self.change(lead, "/conversion/revert", {"reason_code": "mistake"}, "manager")

    @rule(one=leads, other=leads)
    def merge(self, one: str, other: str) -> None:
        self.change(one, "/merge", {"into": other.removeprefix("/v1/leads/")}, "manager")

    @rule(one=leads)
    def unmerge(self, one: str) -> None:
        self.change(one, "/unmerge", None, "manager")

    @rule(minutes=st.sampled_from([1, 200, 300, 3_000, 50_000]), works=st.booleans())
    def pass_time(self, minutes: int, works: bool) -> None:
        self.api.clock.ahead += timedelta(minutes=minutes)
        if works:
            self.run(refresh_due(self.api.app.state.engine, self.api.clock.now))

    @rule(policy=st.sampled_from(sorted(POLICIES)))
    def activate(self, policy: str) -> None:
        self.run(self.api.publish(POLICIES[policy]))

    def teardown(self) -> None:
        assert self.run(faults(self.api)) == []


def test_whatever_people_do_in_whatever_order_each_journey_follows_from_its_log(
    server: Databases, long_timeouts: None
) -> None:
    async def begin(stack: AsyncExitStack) -> Api:
        dsn = await stack.enter_async_context(server.clone())
        settings = Settings(env="test", database_url=as_url(dsn), secret_keys={"test": bytes(range(32))})
        return await stack.enter_async_context(running(settings))

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        Team.runner, Team.api = runner, runner.run(begin(stack))
        try:
            roles = ("sdr", "ae", "marketing", "manager")
            Team.people = {role: runner.run(Team.api.user(role)) for role in roles}
            bounds = hypothesis.settings(max_examples=12, stateful_step_count=40, deadline=None)
            run_state_machine_as_test(Team, settings=bounds)
            assert len(Team.done) > 8, f"too little could be done: {Team.done}"
        finally:
            runner.run(stack.aclose())
