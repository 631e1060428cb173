"""Which media type an Accept header asks for."""

from __future__ import annotations

from collections.abc import Sequence


def prefers(accept: str, wanted: str, other: str) -> bool:
    """Whether an Accept header weighs `wanted` over `other`; both weigh nothing where it does not name them."""
    weights = {wanted: 0.0, other: 0.0}
    for part in accept.lower().split(","):
        media, weight = _weighed(part)
        if media in weights:
            weights[media] = max(weights[media], weight)
    return weights[wanted] > weights[other]


def best(accept: str, offered: Sequence[str]) -> str | None:
    """The media type that the header weighs most, on a tie the first of those offered; None where it takes none.

    The most specific part of the header that covers a type counts, and no header takes every type.
    """
    weights = dict(_weighed(part) for part in accept.lower().split(",")) if accept.strip() else {"*/*": 1.0}
    taken = {media: weights.get(media, weights.get(_any_of(media), weights.get("*/*", 0.0))) for media in offered}
    found = max(offered, key=lambda media: taken[media])
    return found if taken[found] > 0 else None


def _any_of(media: str) -> str:
    return f"{media.partition('/')[0]}/*"


def _weighed(part: str) -> tuple[str, float]:
    media, *parameters = (piece.strip() for piece in part.split(";"))
    return media, next((_weight(one[2:]) for one in parameters if one.startswith("q=")), 1.0)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
