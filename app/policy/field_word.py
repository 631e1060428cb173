"""The condition word `field`: one lead field compared by one operator. A null value is false, not an error."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Annotated, ClassVar

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from app.policy.sentences import near_integer
from app.policy.shape import Like
from app.policy.view import ConditionBase, Unmet, View, leaf, midnight
from app.policy.words import Name, Points, latest


def _scalar(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        if isinstance(value, str):
            raise
        if isinstance(value, float) and math.isfinite(value):
            context = {"near": near_integer(value)}
            raise PydanticCustomError("scalar_type", "write a whole number{near}", context) from None
        raise PydanticCustomError("scalar_type", "write text, a whole number, true or false") from None


# bool before int: a document is stored as Pydantic writes it, and as an int it writes true as 1.
# An error of another type has one sentence, not one for each type that would be possible.
Scalar = Annotated[Annotated[str, Field(max_length=200)] | bool | int, WrapValidator(_scalar)]
FieldPath = Annotated[
    str,
    Like(
        "job_title",
        "write the name of a field, or custom.NAME or bant.CRITERION.status",
        r"^(?:custom\.[\s\S]{1,255}|[a-z][A-Za-z0-9_.:-]{0,150})$",
    ),
]
Words = Annotated[tuple[Name, ...], Field(min_length=1, max_length=200)]

MAX_WORDS_TEXT = 10_000
# Lists shipped with the service: a lead has a flag of the list's name; a policy's list of that name extends it.
SHIPPED_LISTS = frozenset({"free_mail"})
# Members of the first touch, which tells where the lead came from.
OF_TOUCH = {"utm_source": "source", "utm_medium": "medium", "utm_campaign": "campaign"}


class FieldIs(ConditionBase):
    """Compares one attribute of the catalogue (attributes.py): a lead field, a custom answer, or what BANT says."""

    exactly_one: ClassVar[tuple[str, ...]] = (
        "among",
        "in_list",
        "between",
        "at_least",
        "at_most",
        "has_word",
        "present",
        "equals",
    )
    field: FieldPath
    among: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000)] | None = Field(default=None, alias="in")
    in_list: Name | None = None
    between: tuple[Points, Points] | None = None
    at_least: Points | None = None
    at_most: Points | None = None
    has_word: Words | None = None
    present: bool | None = None
    equals: Scalar | None = Field(default=None, alias="is")

    @cached_property
    def _path(self) -> tuple[str, ...]:
        head, _, rest = self.field.partition(".")
        return tuple(self.field.split(".")) if head == "bant" else (head, rest) if head == "custom" else (self.field,)

    @cached_property
    def _padded_words(self) -> tuple[str, ...]:
        return tuple(f" {words_of(word)} " for word in self.has_word or ())

    @cached_property
    def _keys(self) -> frozenset[tuple[str, object]]:
        return frozenset(map(comparison_key, self.values))

    @cached_property
    def values(self) -> tuple[str | bool | int, ...]:
        """The values of `is` and `in`; none of other operators."""
        return self.among or (() if self.equals is None else (self.equals,))

    @cached_property
    def comparison(self) -> str:
        """The operator, as documents write it."""
        name = next(name for name in self.exactly_one if getattr(self, name) is not None)
        return type(self).model_fields[name].alias or name

    @cached_property
    def need(self) -> object:
        """The operator's argument, as JSON for the unmet leaf."""
        argument: object = next(given for name in self.exactly_one if (given := getattr(self, name)) is not None)
        return list(argument) if isinstance(argument, tuple) else argument

    def have(self, view: View) -> object:
        """The field's value, None if there is none."""
        path = self._path
        if path[0] in OF_TOUCH:
            return (view.facts.first_touch or {}).get(OF_TOUCH[path[0]])
        if len(path) == 1:
            return view.facts.fields.get(path[0])
        if path[0] == "custom":
            return view.facts.custom.get(path[1])
        return _bant(view, path[1], path[2])

    def unmet(self, view: View) -> list[Unmet]:
        return [] if self.holds(view) else leaf(f"field.{self.field}", as_json(self.have(view)), self.need)

    def holds(self, view: View) -> bool:
        return self.accepts(self.have(view), view)

    def accepts(self, have: object, view: View) -> bool:
        """Whether the condition holds for this value."""
        if self.present is not None:
            return (have not in (None, "", (), [])) is self.present
        if have is None:
            return False
        if isinstance(have, list | tuple):
            return any(self.accepts(one, view) for one in have if not isinstance(one, list | tuple))
        if self.in_list is not None:
            flagged = self.in_list in SHIPPED_LISTS and view.facts.fields.get(self.in_list) is True
            return flagged or comparison_key(have) in view.policy.list_keys.get(self.in_list, frozenset())
        if self.has_word is not None:
            text = f" {words_of(have)} " if isinstance(have, str) else ""
            return any(word in text for word in self._padded_words)
        if self.among is not None or self.equals is not None:
            return comparison_key(have) in self._keys
        return self._in_range(have)

    def _in_range(self, have: object) -> bool:
        if isinstance(have, bool) or not isinstance(have, int | float | Decimal):
            return False
        low, high = self.bounds
        return (low is None or have >= low) and (high is None or have <= high)

    @cached_property
    def bounds(self) -> tuple[int | None, int | None]:
        """The lowest and the highest number that it accepts."""
        return self.between if self.between is not None else (self.at_least, self.at_most)

    @property
    def timed(self) -> bool:
        return self.field.endswith(".due_in_days")

    def changes(self, view: View) -> Iterator[datetime]:
        due = _due_on(view, self._path[1]) if self.timed else None
        if due is None:
            return
        low, high = self.bounds
        opens = [high, *(n for _, n in self._keys if isinstance(n, int))]
        ends = [low, *(n for _, n in self._keys if isinstance(n, int))]
        instants = [midnight(due, n) for n in opens if n is not None]
        instants += [midnight(due, n - 1) for n in ends if n is not None]
        yield from (at for at in instants if at is not None and at > view.now)


def _bant(view: View, criterion: str, part: str) -> object:
    if part == "due_in_days":
        due = _due_on(view, criterion)
        return (due - view.now.date()).days if due else None
    rows = [row for row in latest(view.confirmations) if row.criterion == criterion]
    last = max(rows, key=lambda row: row.recorded_at, default=None)
    if last is None or part in ("status", "value"):
        return last and getattr(last, part)
    amount = last.amount or {}
    return amount.get("currency") if part == "currency" else _decimal(amount.get("value"))


def _decimal(written: object) -> Decimal | None:
    return None if written is None else Decimal(str(written))


def _due_on(view: View, criterion: str) -> date | None:
    rows = [row for row in latest(view.confirmations) if row.criterion == criterion]
    rows = [row for row in rows if row.due_on and row.status != "denied"]
    last = max(rows, key=lambda row: row.recorded_at, default=None)
    return last.due_on if last else None


def comparison_key(value: object) -> tuple[str, object]:
    """The comparison key of a value: text ignores case and outer spaces, and True never equals 1."""
    if isinstance(value, str):
        return "text", value.strip().casefold()
    if isinstance(value, bool):
        return "flag", value
    if isinstance(value, int | float | Decimal):
        return "number", value
    return "other", repr(value)


def words_of(text: str) -> str:
    """The words of a text in lower case, separated by single spaces; of a long one its first 10,000 characters."""
    return _words(text[:MAX_WORDS_TEXT])


# Every condition with `has_word` reads the same few fields of a lead.
@lru_cache(maxsize=256)
def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def as_json(value: object) -> object:
    """The value as a type that JSON has."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): as_json(one) for name, one in value.items()}
    return str(value)
