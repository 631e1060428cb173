"""A model of how likely leads become customers, as it was trained (app/scoring/training.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

NONE: Final = "none"  # the value of a trait of which nothing is known
OTHER: Final = ""  # the weight of every value that the model does not know


@dataclass(frozen=True, slots=True)
class Model:
    """`weights`: of each trait the weight of each value, in log odds, relative to the average case.

    `bias`: the log odds of the average case. `base_rate`: the share of good cases, 0 to 1.
    """

    version: int
    base_rate: float
    bias: float
    weights: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, version: int, document: Mapping[str, Any]) -> Self:
        """The model of a stored document."""
        return cls(version, document["base_rate"], document["bias"], document["weights"])

    def parts(self, traits: Mapping[str, str]) -> list[tuple[str, str, float]]:
        """(trait, value, weight) of each trait of the model, in its order."""
        found = []
        for trait, weights in self.weights.items():
            value = traits.get(trait, NONE)
            found.append((trait, value, weights.get(value, weights[OTHER])))
        return found

    def probability(self, traits: Mapping[str, str]) -> float:
        """How likely a lead with these traits is to become a customer, 0 to 1."""
        return sigmoid(self.bias + sum(weight for _, _, weight in self.parts(traits)))

    def shown(self, traits: Mapping[str, str]) -> float:
        """The probability with four decimals: the number that people are shown is the one that rules compare."""
        return round(self.probability(traits), 4)


def sigmoid(log_odds: float) -> float:
    """The probability of these log odds."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    grown = math.exp(log_odds)
    return grown / (1 + grown)
