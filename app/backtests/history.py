"""The journeys of a lead as they were recorded, from one row of `sql.HISTORY`."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from app.database.transaction import Record, Records
from app.journeys.state import attributes, exception_of
from app.lifecycle.merging import MERGE
from app.lifecycle.replay import Known, Past
from app.policy.facts import Activity, Confirmation
from app.policy.model import Model

T = TypeVar("T")
NEW: Final = "new"  # business of a merged lead, of which no journey remains


@dataclass(frozen=True, slots=True)
class Merge:
    """When rows came from another lead, and what was known of that one until then."""

    at: datetime
    states: tuple[Known, ...]

    def states_of_journey(self, states: tuple[Known, ...]) -> tuple[Known, ...]:
        """What was known of a journey that came: first of the merged lead, then of the surviving one (`states`)."""
        before = [one for one in states if one.since <= self.at]
        present = replace((before or states[:1])[-1], since=self.at)
        return (
            *(one for one in self.states if one.since < self.at),
            present,
            *(one for one in states if one.since > self.at),
        )


@dataclass(frozen=True, slots=True)
class Around:
    """What is known beside the lead: the stages that end journeys, models, and which rows came by merging.

    `merged`: of each surviving lead the ids of these rows, with their merge.
    """

    closed: frozenset[str]
    models: tuple[tuple[datetime, Model], ...]
    merged: Mapping[UUID, Mapping[UUID, Merge]]

    @classmethod
    def of(cls, closed: frozenset[str], models: Records, merges: Records) -> Around:
        merged: dict[UUID, dict[UUID, Merge]] = defaultdict(dict)
        for row in merges:
            merged[row.survivor_id] |= dict.fromkeys(row.moved, Merge(row.merged_at, states_of(row, NEW)))
        trained = tuple((row.trained_at, Model.of(row.version, row.document)) for row in models)
        return cls(closed, trained, merged)


def pasts_of(row: Record, around: Around) -> list[Past]:
    """The journeys of the lead, in the order of their numbers."""
    moves = _moves(row)
    merged = around.merged.get(row.id, {})
    activities, confirmations, consents = _activities(row), _confirmations(row), _consents(row)
    pasts = list[Past]()
    baseline_at: datetime | None = None
    for key, _, business in sorted(row.journeys, key=lambda one: one[1]):
        journey_id = UUID(key)
        log = moves[journey_id]
        if not log:
            continue
        states = states_of(row, business)
        if (came := merged.get(journey_id)) is not None:
            states = came.states_of_journey(states)

        def known_at(row_id: UUID, recorded_at: datetime, came: Merge | None = came) -> datetime:
            """When a row was known of the journey: one that was the other lead's, since the merge."""
            moved = merged.get(row_id)
            return recorded_at if moved is came else max(recorded_at, *(one.at for one in (moved, came) if one))

        pasts.append(
            Past(
                id=journey_id,
                stage=log[0].stage,
                opened_at=log[0].at,
                open=_open(log, around.closed),
                states=_with_consents(states, [(*said, known_at(*row)) for row, said in consents]),
                activities=_in_order((known_at(one.id, one.recorded_at), one) for one in activities),
                confirmations=_in_order((known_at(*row), one) for row, one in confirmations),
                models=around.models,
                baseline_at=baseline_at,
                first_touch=row.first_touch,
            )
        )
        if log[-1].stage in around.closed and log[-1].action != MERGE:  # merging does not end what goes on elsewhere
            baseline_at = log[-1].at
    return pasts


@dataclass(frozen=True, slots=True)
class Moved:
    """One transition: into which stage, by which action, when, and when that was recorded."""

    stage: str
    action: str
    at: datetime
    known_at: datetime


def _moves(row: Record) -> dict[UUID, list[Moved]]:
    found: dict[UUID, list[Moved]] = defaultdict(list)
    columns = (row.journey_ids, row.stages, row.actions, row.moved_at, row.known_at)
    for journey_id, *moved in zip(*(column or () for column in columns), strict=True):
        found[journey_id].append(Moved(*moved))
    return found


def _open(log: Sequence[Moved], closed: frozenset[str]) -> tuple[tuple[datetime, datetime | None], ...]:
    """From when to when the journey was open; of several closings in a row the first one counts."""
    spans: list[tuple[datetime, datetime | None]] = []
    start: datetime | None = None
    for one in log:
        if one.stage not in closed:
            start = start or one.known_at
        elif start is not None:
            spans.append((start, one.known_at))
            start = None
    return tuple(spans if start is None else [*spans, (start, None)])


def states_of(row: Record, business: str) -> tuple[Known, ...]:
    """What was known of the lead, from its first version on: each change undone, beginning with the latest."""
    fields, custom, flags = dict(row.fields), dict(row.custom), dict(row.flags)
    added = row.added or ()
    since = [*(row.changed_at or ()), row.created_at]
    found: list[Known] = []
    for at, replaced in zip(since, [*(row.replaced or ()), {}], strict=True):
        known, flagged = ({name: one for name, one in values.items() if one is not None} for values in (fields, flags))
        seen = attributes(known, flagged, custom, row.kind, row.channel, business)
        identities = sum(one <= at for one in added) or 1
        found.append(Known(at, seen, custom, exception=exception_of(flagged), identities=identities))
        fields, flags = fields | replaced.get("fields", {}), flags | replaced.get("flags", {})
        custom = replaced.get("custom", custom)
    return tuple(reversed(found))


def _with_consents(states: tuple[Known, ...], said: list[tuple[str, str, datetime]]) -> tuple[Known, ...]:
    """These states with the consents known at each; one more where one was recorded between two of them.

    `said`: purpose, state, and when that was known, so that the last one of a purpose holds.
    """
    if not said:
        return states
    instants = sorted({one.since for one in states} | {at for *_, at in said if at > states[0].since})
    return tuple(
        replace(
            states[bisect_right(states, at, key=lambda one: one.since) - 1],
            since=at,
            consents={purpose: state for purpose, state, known_at in said if known_at <= at},
        )
        for at in instants
    )


def _activities(row: Record) -> list[Activity]:
    columns = (row.ids, row.types, row.kinds, row.occurred, row.recorded)
    return [] if row.ids is None else [Activity(*one) for one in zip(*columns, strict=True)]


def _confirmations(row: Record) -> list[tuple[tuple[UUID, datetime], Confirmation]]:
    """Each row of BANT with its id and when it was recorded."""
    columns = (row.criteria, row.statuses, row.user_ids, row.roles, row.confirmed)
    rest = (row["values"], row.evidences, row.dues, row.amounts)
    if row.criteria is None:
        return []
    found = [Confirmation(*one) for one in zip(*columns, *rest, strict=True)]
    return [((row_id, one.recorded_at), one) for row_id, one in zip(row.bant_ids, found, strict=True)]


def _consents(row: Record) -> list[tuple[tuple[UUID, datetime], tuple[str, str]]]:
    """(purpose, state) of each consent with its id and when it was recorded; the last one of a purpose holds."""
    if row.purposes is None:
        return []
    columns = (row.consent_ids, row.consented, row.purposes, row.consent_states)
    return [((row_id, at), (purpose, state)) for row_id, at, purpose, state in zip(*columns, strict=True)]


def _in_order(known: Iterable[tuple[datetime, T]]) -> tuple[tuple[datetime, T], ...]:
    return tuple(sorted(known, key=lambda one: one[0]))
