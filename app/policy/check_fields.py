"""The checks of the condition word `field`: it names an attribute of the catalogue, and compares it as is possible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Literal

from app.policy.attributes import FIELDS, Attribute, AttributeType, field_attribute
from app.policy.document import Policy
from app.policy.fault import Fault, did_you_mean, unknown
from app.policy.field_word import SHIPPED_LISTS, FieldIs, comparison_key, words_of
from app.policy.held import held, keeps
from app.policy.vocabularies import code_of, has_codes, is_code

# The kind of `comparison_key` of the values that an attribute of the type has, and how to write one.
WRITTEN: Final[dict[AttributeType, tuple[str, str]]] = {
    "text": ("text", "write text, in quotation marks if it looks like a number or a yes"),
    "number": ("number", "write a whole number, without quotation marks"),
    "flag": ("flag", "write true or false, without quotation marks"),
}
MOST_LISTED: Final = 20
AS_TYPED: Final = " only where somebody typed that, which names no code"
OF_FREE_MAIL: Final = ("email_domain", "domain", "email")  # fields that a list of domains says something about


def field_faults(policy: Policy, place: str, node: FieldIs) -> Iterator[Fault]:
    """Faults of one condition on a field."""
    attribute = field_attribute(node.field)
    if attribute is None:
        yield unknown(f"{place}/field", "field", node.field, FIELDS)
    elif node.comparison not in attribute.comparisons:
        possible = ", ".join(attribute.comparisons)
        detail = f"`{node.field}` is a {attribute.type}: compare it with {possible}"
        yield Fault(f"{place}/{node.comparison}", "comparison_not_possible", detail)
    else:
        yield from _wrong_values(attribute, place, node)
    lists = {*policy.lists, *SHIPPED_LISTS}
    if node.in_list is not None and node.in_list not in lists:
        yield unknown(f"{place}/in_list", "list", node.in_list, lists)
    if node.in_list in SHIPPED_LISTS and node.field not in OF_FREE_MAIL:
        detail = f"`{node.in_list}` lists domains of e-mail addresses: compare `{OF_FREE_MAIL[0]}` with it"
        yield Fault(f"{place}/in_list", "comparison_not_possible", detail)
    if node.between is not None and node.between[0] > node.between[1]:
        yield Fault(f"{place}/between", "empty_range", "the lower end is above the upper")


def list_faults(policy: Policy, used: Iterable[FieldIs]) -> Iterator[Fault]:
    """Faults of the values in lists that no field which is compared with the list ever has; the first of each list."""
    fields: dict[str, list[Attribute]] = defaultdict(list)
    for node in used:
        attribute = field_attribute(node.field)
        if node.in_list in policy.lists and attribute is not None and attribute not in fields[node.in_list]:
            fields[node.in_list].append(attribute)
    for name, attributes in fields.items():
        wrong = (
            Fault(f"/lists/{name}/{index}", "unknown_value", told[0], _kind(attributes, value))
            for index, value in enumerate(policy.lists[name])
            if all(told := [_never(one, value) for one in attributes])
        )
        yield from islice(wrong, MOST_LISTED)


def _wrong_values(attribute: Attribute, place: str, node: FieldIs) -> Iterator[Fault]:
    """The values that the attribute never has: of another type, out of its range, or none that it can hold."""
    where = f"{place}/{node.comparison}"
    for value in node.values:
        if not _has_values(attribute) and attribute.type in WRITTEN and _is_of_another_type(attribute, value):
            _, how = WRITTEN[attribute.type]
            detail = f"`{node.field}` is a {attribute.type}, so it is never `{_shown(value)}`: {how}"
            yield Fault(where, "wrong_type", detail)
        elif detail := _never(attribute, value):
            code = "never_true" if attribute.type == "number" else "unknown_value"
            yield Fault(where, code, detail, _kind([attribute], value))
    for word in node.has_word or ():
        if _has_values(attribute) and words_of(word) and not _is_word_of(attribute, words_of(word)):
            kind = _kind([attribute], word)
            has = "has" if kind == "warning" else "never has"
            detail = f"`{node.field}` {has} the word `{word}`{AS_TYPED if kind == 'warning' else ''}"
            yield Fault(where, "unknown_value", detail + _instead(attribute, word), kind)


def _never(attribute: Attribute, value: object) -> str:
    """Why the attribute never has the value, and what to write instead; empty if it may."""
    never = f"`{attribute.name}` is never `{_shown(value)}`"
    if _has_values(attribute):
        if _kind([attribute], value) == "warning":
            never = f"`{attribute.name}` is `{_shown(value)}`{AS_TYPED}"
        return "" if _is_known(attribute, value) else never + _instead(attribute, value)
    if isinstance(value, int) and not isinstance(value, bool):
        return "" if attribute.has_number(value) else f"{never}: it is {attribute.range}"
    if attribute.type != "text" or not isinstance(value, str):
        return ""
    written = held(attribute.name, value)
    if written is None:
        blank = "" if value.strip() else ": without a value, ask for `present: false`"
        return never + (blank or f"; write a value like `{attribute.examples[0]}`")
    same = comparison_key(written) == comparison_key(value)
    return "" if same else f"{never}; did you mean `{written}`?"


def _kind(attributes: Sequence[Attribute], value: object) -> Literal["fault", "warning"]:
    """Of a value that is no code: a warning where a field keeps what it cannot read, as it was typed."""
    kept = isinstance(value, str) and any(has_codes(one.name) and keeps(one.name, value) for one in attributes)
    return "warning" if kept else "fault"


def _has_values(attribute: Attribute) -> bool:
    return bool(attribute.values) or has_codes(attribute.name)


def _is_of_another_type(attribute: Attribute, value: object) -> bool:
    return comparison_key(value)[0] != WRITTEN[attribute.type][0]


def _is_known(attribute: Attribute, value: object) -> bool:
    if has_codes(attribute.name):
        return is_code(attribute.name, value)
    return comparison_key(value) in {comparison_key(one) for one in attribute.values}


def _is_word_of(attribute: Attribute, words: str) -> bool:
    if has_codes(attribute.name):
        return is_code(attribute.name, words)
    return any(f" {words} " in f" {words_of(value)} " for value in attribute.values)


def _instead(attribute: Attribute, value: object) -> str:
    """The code or the nearest value to write, else all values where these are few."""
    if has_codes(attribute.name):
        short = held(attribute.name, str(value))  # de of de-AT
        code = short if is_code(attribute.name, short) else code_of(attribute.name, str(value))
        example = attribute.examples[0]
        return f"; did you mean `{code}`?" if code else f"; write a code, like {example}"
    few = f"; it is one of {', '.join(attribute.values)}" if len(attribute.values) <= MOST_LISTED else ""
    return did_you_mean(value, attribute.values) + few


def _shown(value: object) -> str:
    """The value as documents write it."""
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'
