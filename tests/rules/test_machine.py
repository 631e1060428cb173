"""Random journeys, compared after every step with a small model built on the table of `oracle`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.lifecycle.answer import Emit, Move, Refused
from app.lifecycle.automatic import evaluate
from app.lifecycle.decide import decide
from app.lifecycle.effects import conversion_class, facts_after
from app.lifecycle.milestones import Step, fold_log
from app.policy.document import Policy
from app.policy.facts import CRITERIA, Activity, Actor, Ask, Confirmation, Facts
from app.scoring.score import scored
from tests.rules import oracle
from tests.rules.make import IMPORT, NOON, PERSONA, POLICIES, SERVICE, person
from tests.rules.test_product import ENDPOINT, REASON

ACTORS = [*(person(role) for role in oracle.PEOPLE), SERVICE, IMPORT, Actor(None, "policy", "policy")]
ACTIONS = st.sampled_from(sorted(set(oracle.WORDS) - {"merge_into", "erase"}))


class Journey(RuleBasedStateMachine):
    """Runs the rules beside a model that keeps the stage, the log and the milestones on its own."""

    @initialize(name=st.sampled_from(sorted(POLICIES)), suspect=st.booleans(), persona=st.booleans())
    def begin(self, name: str, suspect: bool, persona: bool) -> None:
        self.name = name
        self.now: datetime = NOON
        self.policy: Policy = POLICIES[name]
        fields: dict[str, object] = dict(PERSONA) if persona else {}
        self.facts = Facts(identities=1, contactable=True, fields=fields, entry="suspect" if suspect else None)
        self.log: list[Step] = []
        self.stage: str | None = None
        self.held: str | None = None
        self.reached: set[str] = set()
        self.recycles = 0
        self.made = 0
        self.ask(Ask("capture", SERVICE, source="src_1"))

    def refresh(self) -> None:
        self.facts = scored(self.policy, self.facts, self.now)

    def ask(self, ask: Ask) -> None:
        self.refresh()
        role = ask.actor.role
        captured = self.facts.entry or "inquiry"
        expected = oracle.verdict(self.name, self.stage, ask.action or "", role, ask.to or "", self.held, captured)
        decision = decide(self.policy, self.facts, ask, self.now)
        if isinstance(decision, Move):
            assert expected == decision.to_stage
            self.apply(decision)
        elif isinstance(decision, Refused) and decision.why.code != "criteria_unmet":
            assert decision.why.code == expected
        self.evaluate()

    def evaluate(self) -> None:
        """Take the automatic steps after a change; a second evaluation must find none."""
        self.refresh()
        for step in evaluate(self.policy, self.facts, self.now).steps:
            if isinstance(step, Emit):
                assert (self.stage, step.action) == ("recycled", "wake")
                self.facts = facts_after(self.facts, step)
            else:
                assert step.action in ("engage", "qualify")
                assert step.actor.kind == "policy"
                self.apply(step)
        self.refresh()
        assert evaluate(self.policy, self.facts, self.now).steps == ()

    def apply(self, move: Move) -> None:
        """Apply the move to the model and to the facts."""
        assert move.from_stage == self.stage
        before, to = self.stage, move.to_stage
        low, high = oracle.ORDER.get(before or "", 99), oracle.ORDER.get(to, -1)
        names = oracle.MILESTONES[self.name]
        if move.action in ("correct", "revert_conversion"):
            self.reached -= {name for name in names if oracle.ORDER[name] > high >= 0}
        if to in oracle.OPEN:
            skipped = {name for name in names if low < oracle.ORDER[name] < high}
            self.reached |= {to} & set(names) | skipped
        if to in ("converted", "disqualified"):
            self.held = before
        assert move.closes == (to in ("converted", "disqualified"))
        assert move.reopens == (before in ("converted", "disqualified"))
        self.recycles += move.action == "recycle"
        self.stage = to
        opportunity_class = conversion_class(self.policy, before) if move.action == "convert" else None
        self.log.append(Step(self.policy, len(self.log) + 1, before, to, move.action, opportunity_class))
        self.facts = facts_after(self.facts, move)

    @rule(action=ACTIONS, actor=st.sampled_from(ACTORS), to=st.sampled_from(oracle.OPEN))
    def request_any_action(self, action: str, actor: Actor, to: str) -> None:
        self.ask(self.complete_ask(action, actor, to))

    @precondition(lambda self: self.stage is not None)
    @rule(data=st.data())
    def request_an_allowed_action(self, data: st.DataObject) -> None:
        """Random asks are mostly refused; this one has an edge and a permitted actor, so only a guard can refuse it."""
        table = oracle.TABLES[self.name]
        possible = sorted(action for action, found in table.items() if self.stage in found.sources)
        if not possible:
            return
        action = data.draw(st.sampled_from(possible))
        actor = data.draw(st.sampled_from([one for one in ACTORS if one.role in table[action].who]))
        self.ask(self.complete_ask(action, actor, data.draw(st.sampled_from(oracle.OPEN))))

    def complete_ask(self, action: str, actor: Actor, to: str) -> Ask:
        rows: tuple[Confirmation, ...] = ()
        if (user := actor.user_id) is not None:
            rows = tuple(Confirmation(name, "confirmed", user, actor.role, self.now) for name in CRITERIA)
        return Ask(
            action,
            actor,
            to=(to if to in oracle.STAGES[self.name] else "sql") if action == "correct" else None,
            reason_code=REASON.get(action),
            note="why",
            correction_of="trn_1",
            source="src_1",
            bant=rows,
            convert=True,
            override_reason="fair" if self.made % 2 else None,
            endpoint=ENDPOINT.get(action, "transition"),
        )

    @rule(type=st.sampled_from(["demo_request", "price_list", "webinar", "unsubscribe"]), days=st.integers(0, 40))
    def record_interest(self, type: str, days: int) -> None:
        self.made += 1
        at = self.now - timedelta(days=days)
        one = Activity(UUID(int=self.made), type, "interest", at, self.now)
        self.facts = replace(self.facts, activities=(*self.facts.activities, one))
        self.evaluate()

    @rule(days=st.sampled_from([0, 1, 20, 31, 61, 100]))
    def advance_time(self, days: int) -> None:
        self.now += timedelta(days=days, minutes=1)
        self.evaluate()

    @invariant()
    def the_log_the_facts_and_the_model_agree(self) -> None:
        if not hasattr(self, "log"):
            return
        folded = fold_log(self.log)
        assert folded.faults == ()
        assert folded.stage == self.facts.stage == self.stage
        assert folded.seq == self.facts.seq == len(self.log)
        stages = {name for name in folded.milestones if name in oracle.MILESTONES[self.name]}
        assert stages == self.reached == set(self.facts.milestones)

    @invariant()
    def a_closed_journey_has_closed_at_and_a_parked_one_has_no_owner(self) -> None:
        if hasattr(self, "log"):
            assert (self.facts.closed_at is not None) == (self.stage in ("converted", "disqualified"))
            assert self.stage != "recycled" or self.facts.owner_id is None
            assert (self.facts.baseline_at is not None) == (self.recycles > 0)


TestJourney = Journey.TestCase
TestJourney.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, phases=(Phase.explicit, Phase.generate)
)
