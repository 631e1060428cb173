"""Which of two media types an Accept header weighs more."""

from __future__ import annotations


def prefers(accept: str, wanted: str, other: str) -> bool:
    """Whether an Accept header weighs `wanted` over `other`; both weigh nothing where it does not name them."""
    weights = {wanted: 0.0, other: 0.0}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((_weight(one[2:]) for one in parameters if one.startswith("q=")), 1.0)
        if media in weights:
            weights[media] = max(weights[media], weight)
    return weights[wanted] > weights[other]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
