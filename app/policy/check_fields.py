"""The checks of the condition word `field`: it names an attribute of the catalogue, and compares it as is possible."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from app.policy.attributes import FIELDS, Attribute, field_attribute
from app.policy.document import Policy
from app.policy.fault import Fault
from app.policy.field_word import SHIPPED_LISTS, FieldIs, comparison_key


def field_faults(policy: Policy, place: str, node: FieldIs) -> Iterator[Fault]:
    """Faults of one condition on a field."""
    attribute = field_attribute(node.field)
    if attribute is None:
        alike = get_close_matches(node.field, FIELDS, 1)
        hint = f"; did you mean `{alike[0]}`?" if alike else ""
        yield Fault(f"{place}/field", "unknown_field", f"there is no field `{node.field}`{hint}")
    elif node.comparison not in attribute.comparisons:
        possible = ", ".join(attribute.comparisons)
        detail = f"`{node.field}` is a {attribute.type}: compare it with {possible}"
        yield Fault(f"{place}/{node.comparison}", "comparison_not_possible", detail)
    else:
        yield from _unknown_values(attribute, place, node)
    if node.in_list is not None and node.in_list not in policy.lists and node.in_list not in SHIPPED_LISTS:
        yield Fault(f"{place}/in_list", "unknown_list", f"there is no list `{node.in_list}`")
    if node.between is not None and node.between[0] > node.between[1]:
        yield Fault(f"{place}/between", "empty_range", "the lower end is above the upper")


def _unknown_values(attribute: Attribute, place: str, node: FieldIs) -> Iterator[Fault]:
    """The values that the attribute never has, if all its values are known."""
    if not attribute.values or node.comparison not in ("is", "in"):
        return
    known = {comparison_key(value) for value in attribute.values}
    for value in node.among if node.among is not None else (node.equals,):
        if comparison_key(value) not in known:
            detail = f"`{node.field}` is never `{value}`; it is one of {', '.join(attribute.values)}"
            yield Fault(f"{place}/{node.comparison}", "unknown_value", detail)
