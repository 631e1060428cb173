"""The checks of the condition word `field`: it names an attribute of the catalogue, and compares it as is possible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.policy.attributes import FIELDS, Attribute, AttributeType, field_attribute
from app.policy.document import Policy
from app.policy.fault import Fault, did_you_mean
from app.policy.field_word import SHIPPED_LISTS, FieldIs, comparison_key
from app.policy.vocabularies import code_of, has_codes, is_code

# The kind of `comparison_key` of the values that an attribute of the type has, and how to write one.
WRITTEN: Final[dict[AttributeType, tuple[str, str]]] = {
    "text": ("text", "write text, in quotation marks if it looks like a number or a yes"),
    "number": ("number", "write a whole number, without quotation marks"),
    "flag": ("flag", "write true or false, without quotation marks"),
}
MOST_LISTED: Final = 20


def field_faults(policy: Policy, place: str, node: FieldIs) -> Iterator[Fault]:
    """Faults of one condition on a field."""
    attribute = field_attribute(node.field)
    if attribute is None:
        hint = did_you_mean(node.field, FIELDS)
        yield Fault(f"{place}/field", "unknown_field", f"there is no field `{node.field}`{hint}")
    elif node.comparison not in attribute.comparisons:
        possible = ", ".join(attribute.comparisons)
        detail = f"`{node.field}` is a {attribute.type}: compare it with {possible}"
        yield Fault(f"{place}/{node.comparison}", "comparison_not_possible", detail)
    else:
        yield from _wrong_values(attribute, place, node)
    lists = {*policy.lists, *SHIPPED_LISTS}
    if node.in_list is not None and node.in_list not in lists:
        detail = f"there is no list `{node.in_list}`{did_you_mean(node.in_list, lists)}"
        yield Fault(f"{place}/in_list", "unknown_list", detail)
    if node.between is not None and node.between[0] > node.between[1]:
        yield Fault(f"{place}/between", "empty_range", "the lower end is above the upper")


def _wrong_values(attribute: Attribute, place: str, node: FieldIs) -> Iterator[Fault]:
    """The values of `is` and `in` that the attribute never has: of another type, or none of its known values."""
    for value in node.among if node.among is not None else () if node.equals is None else (node.equals,):
        where = f"{place}/{node.comparison}"
        if attribute.values or has_codes(attribute.name):
            if not _is_known(attribute, value):
                detail = f"`{node.field}` is never `{_shown(value)}`{_instead(attribute, value)}"
                yield Fault(where, "unknown_value", detail)
        elif attribute.type in WRITTEN:
            kind, how = WRITTEN[attribute.type]
            if comparison_key(value)[0] != kind:
                detail = f"`{node.field}` is a {attribute.type}, so it is never `{_shown(value)}`: {how}"
                yield Fault(where, "wrong_type", detail)


def _is_known(attribute: Attribute, value: object) -> bool:
    if has_codes(attribute.name):
        return is_code(attribute.name, value)
    return comparison_key(value) in {comparison_key(one) for one in attribute.values}


def _instead(attribute: Attribute, value: object) -> str:
    """The code or the nearest value to write, else all values where these are few."""
    if has_codes(attribute.name):
        code = code_of(attribute.name, str(value))
        example = attribute.examples[0]
        return f"; did you mean `{code}`?" if code else f"; write a code, like {example}"
    few = f"; it is one of {', '.join(attribute.values)}" if len(attribute.values) <= MOST_LISTED else ""
    return did_you_mean(value, attribute.values) + few


def _shown(value: object) -> str:
    """The value as documents write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
