"""Train a model of how likely leads become customers, and measure it (docs/likelihood.md).

Two kinds are tried on the earlier three quarters of the cases: categorical naive Bayes, which counts, and logistic
regression with a ridge penalty, by Newton steps of one weight at a time. The one with the smaller Brier score on the
last quarter is trained again on all cases. The same cases give the same document, to the byte.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from app.policy.model import NONE, OTHER, Model, sigmoid

NEEDED: Final = 40  # cases of each kind
HELD_BACK_PERCENT: Final = 25
MIN_HELD_BACK: Final = 5  # of each kind, to measure anything
MIN_CASES, MAX_VALUES = 5, 50  # of a value to have a weight of its own; values of one trait
RIDGE, SWEEPS, CONVERGED = 1.0, 30, 1e-6
BINS: Final = 5
DIGITS: Final = 6

Weights = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Case:
    """A finished journey, as it was known at the moment of decision. `points`: fit plus engagement at that moment."""

    id: UUID
    at: datetime
    traits: Mapping[str, str]
    good: bool
    points: int


def train(cases: Sequence[Case]) -> dict[str, Any]:
    """The document of a model: kind, weights, period, counts, and how it did on the cases held back."""
    cases = sorted(cases, key=lambda case: (case.at, case.id.bytes))
    cut = len(cases) * (100 - HELD_BACK_PERCENT) // 100
    earlier, later = cases[:cut], cases[cut:]
    kind, held_back = "naive_bayes", None
    if _is_measurable(earlier) and _is_measurable(later):
        tried = {name: _measured(fit(earlier), later) for name, fit in KINDS.items()}
        kind = min(tried, key=lambda name: (tried[name]["brier"], name))
        held_back = {**tried[kind], "tried": {name: measures["brier"] for name, measures in tried.items()}}
    model = KINDS[kind](cases)
    return {
        "kind": kind,
        "period": {"from": cases[0].at.isoformat(), "to": cases[-1].at.isoformat()},
        "cases": _counts(cases),
        "base_rate": round(model.base_rate, DIGITS),
        "bias": round(model.bias, DIGITS),
        "weights": {
            trait: {value: round(weight, DIGITS) for value, weight in sorted(weights.items())}
            for trait, weights in sorted(model.weights.items())
        },
        "held_back": held_back,
    }


def _counts(cases: Sequence[Case]) -> dict[str, int]:
    good = sum(case.good for case in cases)
    return {"good": good, "bad": len(cases) - good}


def _is_measurable(cases: Sequence[Case]) -> bool:
    return min(_counts(cases).values()) >= MIN_HELD_BACK


def _measured(model: Model, cases: Sequence[Case]) -> dict[str, Any]:
    predicted = [model.probability(case.traits) for case in cases]
    good = [case.good for case in cases]
    of_model, of_points = auc(predicted, good), auc([float(case.points) for case in cases], good)
    return {
        "from": cases[0].at.isoformat(),
        "cases": _counts(cases),
        "auc": round(of_model, DIGITS),
        "points_auc": round(of_points, DIGITS),
        "beats_points": of_model > of_points,
        "brier": round(brier(predicted, good), DIGITS),
        "calibration": calibration(predicted, good),
    }


# --- measures


def auc(scores: Sequence[float], good: Sequence[bool]) -> float:
    """The probability that a good case has a higher score than a bad one; ties count half."""
    order = sorted(range(len(scores)), key=lambda place: scores[place])
    ranks, start = 0.0, 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        ranks += sum(good[place] for place in order[start:end]) * (start + end + 1) / 2
        start = end
    positive = sum(good)
    return (ranks - positive * (positive + 1) / 2) / (positive * (len(good) - positive))


def brier(predicted: Sequence[float], good: Sequence[bool]) -> float:
    """The mean squared error of the probabilities: 0 is perfect."""
    return sum((chance - was) ** 2 for chance, was in zip(predicted, good, strict=True)) / len(predicted)


def calibration(predicted: Sequence[float], good: Sequence[bool]) -> list[dict[str, Any]]:
    """Fifths of the cases by probability: how many, what was predicted on average, and what came true."""
    pairs = sorted(zip(predicted, good, strict=True))
    bounds = [len(pairs) * place // BINS for place in range(BINS + 1)]
    bins = (pairs[start:end] for start, end in pairwise(bounds) if end > start)
    return [
        {
            "cases": len(one),
            "predicted": round(sum(chance for chance, _ in one) / len(one), 4),
            "observed": round(sum(was for _, was in one) / len(one), 4),
        }
        for one in bins
    ]


# --- the two kinds


def _values(cases: Sequence[Case]) -> dict[str, dict[str, list[int]]]:
    """For each trait the places of the cases with each value that is frequent enough."""
    names = sorted({trait for case in cases for trait in case.traits})
    found: dict[str, dict[str, list[int]]] = {}
    for trait in names:
        places: dict[str, list[int]] = {}
        for place, case in enumerate(cases):
            places.setdefault(case.traits.get(trait, NONE), []).append(place)
        kept = sorted(places.items(), key=lambda one: (-len(one[1]), one[0]))[:MAX_VALUES]
        found[trait] = {value: held for value, held in kept if len(held) >= MIN_CASES}
    return {trait: values for trait, values in found.items() if len(values) > 1}


def naive_bayes(cases: Sequence[Case]) -> Model:
    """Of each value the ratio of its shares among good and bad cases, each value counted once more than it occurs."""
    counts = _counts(cases)
    weights: Weights = {}
    for trait, values in _values(cases).items():
        good = Counter({value: sum(cases[place].good for place in places) for value, places in values.items()})
        weights[trait] = {
            value: math.log((good[value] + 1) / (counts["good"] + len(values)))
            - math.log((len(places) - good[value] + 1) / (counts["bad"] + len(values)))
            for value, places in values.items()
        }
    return _centred(cases, math.log(counts["good"] / counts["bad"]), weights)


def logistic(cases: Sequence[Case]) -> Model:
    """Logistic regression with a weight for each value, smaller ones preferred (ridge)."""
    counts, values = _counts(cases), _values(cases)
    start = math.log(counts["good"] / counts["bad"])
    log_odds, good = [start] * len(cases), [float(case.good) for case in cases]
    weights: Weights = {trait: dict.fromkeys(of, 0.0) for trait, of in values.items()}
    everywhere, bias = list(range(len(cases))), start
    for _ in range(SWEEPS):
        step = _newton(everywhere, log_odds, good, 0.0, 0.0)
        bias, largest = bias + step, abs(step)
        for trait, of in values.items():
            for value, places in of.items():
                step = _newton(places, log_odds, good, weights[trait][value], RIDGE)
                weights[trait][value] += step
                largest = max(largest, abs(step))
        if largest < CONVERGED:
            break
    return _centred(cases, bias, weights)


def _newton(places: Sequence[int], log_odds: list[float], good: Sequence[float], weight: float, ridge: float) -> float:
    """The step of one weight towards its optimum, which is added to the log odds of its cases."""
    gradient, curvature = -ridge * weight, ridge
    for place in places:
        chance = sigmoid(log_odds[place])
        gradient += good[place] - chance
        curvature += chance * (1 - chance)
    step = max(-2.0, min(2.0, gradient / max(curvature, 1e-9)))
    for place in places:
        log_odds[place] += step
    return step


def _centred(cases: Sequence[Case], bias: float, weights: Weights) -> Model:
    """The model with weights relative to the average case, so that each says what the value changes."""
    centred: Weights = {}
    for trait, of in weights.items():
        mean = sum(of.get(case.traits.get(trait, NONE), 0.0) for case in cases) / len(cases)
        bias += mean
        centred[trait] = {value: weight - mean for value, weight in of.items()} | {OTHER: -mean}
    return Model(0, _counts(cases)["good"] / len(cases), bias, centred)


KINDS: Final[Mapping[str, Callable[[Sequence[Case]], Model]]] = {"naive_bayes": naive_bayes, "logistic": logistic}
