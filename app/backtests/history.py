"""The journeys of a lead as they were recorded, from one row of `sql.HISTORY`."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app.database.transaction import Record, Records
from app.journeys.state import attributes, exception_of
from app.lifecycle.replay import Known, Past
from app.policy.facts import Activity, Confirmation
from app.policy.model import Model

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
    pasts = list[Past]()
    baseline_at: datetime | None = None
    for key, _, business in sorted(row.journeys, key=lambda one: one[1]):
        journey_id = UUID(key)
        log = moves[journey_id]
        if not log:
            continue
        states = states_of(row, business)
        came = merged.get(journey_id)
        pasts.append(
            Past(
                id=journey_id,
                stage=log[0].stage,
                opened_at=log[0].at,
                open=_open(log, around.closed),
                states=states if came is None else came.states_of_journey(states),
                activities=_known(_activities(row), merged, came),
                confirmations=tuple((one.recorded_at, one) for one in _confirmations(row)),
                models=around.models,
                baseline_at=baseline_at,
                first_touch=row.first_touch,
            )
        )
        baseline_at = log[-1].at if log[-1].stage in around.closed else baseline_at
    return pasts


@dataclass(frozen=True, slots=True)
class Moved:
    """One transition: into which stage, when, and when that was recorded."""

    stage: str
    at: datetime
    known_at: datetime


def _moves(row: Record) -> dict[UUID, list[Moved]]:
    found: dict[UUID, list[Moved]] = defaultdict(list)
    columns = (row.journey_ids, row.stages, row.moved_at, row.known_at)
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
    return _with_consents(tuple(reversed(found)), row)


def _with_consents(states: tuple[Known, ...], row: Record) -> tuple[Known, ...]:
    """These states with the consents known at each; one more where a consent was recorded between two of them."""
    if row.purposes is None:
        return states
    said = list(zip(row.purposes, row.consent_states, row.consented, strict=True))
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


def _confirmations(row: Record) -> list[Confirmation]:
    columns = (row.criteria, row.statuses, row.user_ids, row.roles, row.confirmed)
    rest = (row["values"], row.evidences, row.dues, row.amounts)
    return [] if row.criteria is None else [Confirmation(*one) for one in zip(*columns, *rest, strict=True)]


def _known(
    activities: Iterable[Activity], merged: Mapping[UUID, Merge], came: Merge | None
) -> tuple[tuple[datetime, Activity], ...]:
    """Each activity with when it was known of the journey: of the other of two merged leads, since the merge."""
    found = [(_seen(one, merged.get(one.id), came), one) for one in activities]
    return tuple(sorted(found, key=lambda known: known[0]))


def _seen(one: Activity, moved: Merge | None, came: Merge | None) -> datetime:
    return one.recorded_at if moved is came else max(one.recorded_at, *(merge.at for merge in (moved, came) if merge))
