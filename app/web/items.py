"""Items of a batch that are read one by one: one of a wrong form gets a result of its own and costs no other.

The body names their list in `read_alone` (app/web/fields.py), so that an item with a value which cannot be stored is
of a wrong form too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, PlainValidator, ValidationError

from app.errors import RequestInvalid
from app.web.parameters import MOST_NAMED
from app.web.problems import faults_of
from app.web.strict_json import Unstorable

T = TypeVar("T", bound=BaseModel)


class Malformed(NamedTuple):
    """An item of a wrong form as it was written, or Unstorable, and the errors of Pydantic about it."""

    written: Any
    errors: Sequence[Mapping[str, Any]] = ()

    def problem(self, place: str) -> RequestInvalid:
        """The problem of the item, whose fields are named with its place in the request."""
        return _invalid(self.placed(place))

    def placed(self, place: str) -> list[dict[str, str]]:
        """The errors of this item, as many as of a request."""
        if isinstance(self.written, Unstorable):
            return [self.written.fault(tuple(place.split(".")))]
        return faults_of(self.errors, self.written, place)[:MOST_NAMED]


def one_by_one(model: type[BaseModel]) -> PlainValidator:
    """Reads an item as the model, or as Malformed: `Annotated[Any, one_by_one(Item)]`. OpenAPI shows the model."""

    def read(value: Any) -> Any:
        if isinstance(value, Unstorable):
            return Malformed(value)
        try:
            return model.model_validate(value)
        except ValidationError as error:
            return Malformed(value, error.errors(include_url=False))

    return PlainValidator(read, json_schema_input_type=model)


def well_formed(items: Sequence[T | Malformed], place: str, *, needs_all: bool = False) -> dict[int, T]:
    """The items of the right form by their index.

    Raises RequestInvalid, with the faults of all others, if there is none, or one is not and `needs_all`: then its
    `index` is that of the first of them, as where an item is refused by a rule.
    """
    found = {index: item for index, item in enumerate(items) if not isinstance(item, Malformed)}
    wrong = {index: item for index, item in enumerate(items) if isinstance(item, Malformed)}
    if wrong and (needs_all or not found):
        faults = [fault for index, item in wrong.items() for fault in item.placed(f"{place}.{index}")]
        raise _invalid(faults, **({"index": min(wrong), "lead_id": None} if needs_all else {}))
    return found


def _invalid(faults: list[dict[str, str]], **more: Any) -> RequestInvalid:
    named = ", ".join(dict.fromkeys(fault["field"] for fault in faults[:20]))
    return RequestInvalid(f"Not valid: {named}. See `errors`.", errors=faults, **more)
