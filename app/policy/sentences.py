"""What people are told about a value that Pydantic refuses: a plain sentence for each of its error types."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from app.policy.codes import WRONG_TYPE, code_of
from app.policy.fault import did_you_mean

_OBJECT: Final = "write an object: names with values, in braces"
_LIST: Final = "write a list: values, in square brackets"
DATE: Final = "write a date as text, like 2027-03-31"
TIME: Final = "write a time as text with Z or its offset, like 2026-08-17T09:00:00Z"

# By error type; what stands in braces is from the error's context.
SENTENCES: Final[Mapping[str, str]] = {
    "missing": "this is required",
    "extra_forbidden": "no member of this name is known here: correct the name, or leave it out",
    "invalid_key": "the names of members are text",
    "none_required": "write null, or leave it out",
    **dict.fromkeys(("bool_type", "bool_parsing"), "write true or false"),
    "int_type": "write a whole number, without quotation marks",
    **dict.fromkeys(("int_parsing", "int_parsing_size", "int_from_float"), "write a whole number"),
    **dict.fromkeys(("float_type", "decimal_type"), "write a number, without quotation marks"),
    **dict.fromkeys(("float_parsing", "finite_number", "decimal_parsing"), "write a number"),
    "greater_than": "write a value above {gt}",
    "greater_than_equal": "write {ge} or more",
    "less_than": "write a value below {lt}",
    "less_than_equal": "write {le} or less",
    "multiple_of": "write a multiple of {multiple_of}",
    "decimal_max_digits": "write at most {max_digits} digits",
    "decimal_max_places": "write at most {decimal_places} decimals",
    "decimal_whole_digits": "write at most {whole_digits} digits before the point",
    **dict.fromkeys(("string_type", "bytes_type"), "write text, between quotation marks"),
    **dict.fromkeys(("string_unicode", "bytes_invalid_encoding"), "write text in UTF-8"),
    "string_not_ascii": "write ASCII characters only",
    **dict.fromkeys(("string_too_short", "bytes_too_short"), "too short: the minimum length is {min_length}"),
    **dict.fromkeys(
        ("string_too_long", "bytes_too_long", "url_too_long"), "too long: the maximum length is {max_length}"
    ),
    "string_pattern_mismatch": "this is not written in the form that is needed here",
    "too_short": "too few: the minimum is {min_length}",
    "too_long": "too many: the maximum is {max_length}",
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), _OBJECT),
    **dict.fromkeys(
        ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type", "iteration_error"), _LIST
    ),
    "set_item_not_hashable": "the values of this list are text or numbers",
    **dict.fromkeys(("enum", "literal_error"), "write {expected}"),
    "union_tag_not_found": "a condition is an object of one word, such as fit; only field and when have a second one",
    "union_tag_invalid": "there is no such word{known}",
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"), DATE),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), TIME),
    **dict.fromkeys(("datetime_object_invalid", "timezone_aware", "timezone_offset"), TIME),
    "timezone_naive": "write a time without an offset",
    **dict.fromkeys(("time_type", "time_parsing"), "write an hour of the day, like 09:00"),
    **dict.fromkeys(("time_delta_type", "time_delta_parsing"), "write a duration, like PT30M"),
    **dict.fromkeys(("date_past", "datetime_past"), "write a time in the past"),
    **dict.fromkeys(("date_future", "datetime_future"), "write a time in the future"),
    **dict.fromkeys(("json_invalid", "json_type"), "this is not JSON"),
    **dict.fromkeys(("recursion_loop", "recursion_depth_exceeded"), "this is nested too deeply"),
    **dict.fromkeys(
        ("url_type", "url_parsing", "url_syntax_violation", "url_scheme"),
        "write a URL, like https://www.acme.example/a",
    ),
    **dict.fromkeys(("uuid_type", "uuid_parsing", "uuid_version"), "write a UUID"),
    **dict.fromkeys(("is_instance_of", "is_subclass_of"), "a value of this type is not possible here"),
}
MOST_SHOWN: Final = 1e21  # more digits tell nobody anything
_RAISED: Final = {"value_error": "Value error, ", "assertion_error": "Assertion failed, "}


def sentence(fault: Mapping[str, Any], not_here: Collection[str] = ()) -> str:
    """What to say about one of the errors of a ValidationError.

    The messages of our own checks stand as they are. Some of these have a type of Pydantic's, and are told from its own
    by their first letter, which is small. `not_here`: words of conditions that are not offered.
    """
    kind, message = str(fault["type"]), str(fault["msg"])
    if kind in _RAISED:
        return message.removeprefix(_RAISED[kind])
    if kind not in SENTENCES or message[:1].islower():
        return message
    known, given = fault.get("ctx") or {}, fault.get("input")
    if kind == "int_type" and isinstance(given, float) and math.isfinite(given):
        return f"write a whole number{near_integer(given)}"
    if str(known.get("discriminator", "")).startswith("'"):
        return _no_kind(known)
    if kind in ("enum", "literal_error"):
        words = re.findall(r"'([^']*)'", known["expected"])
        return SENTENCES[kind].format_map(known) + (did_you_mean(given, words) if len(words) > 1 else "")
    return SENTENCES[kind].format_map(
        {"known": _known_words(known, not_here)} if kind == "union_tag_invalid" else _plain(known)
    )


def near_integer(number: float) -> str:
    """The end of a message about a number with decimals: a whole one that is near, unless that has very many digits."""
    return f", such as {round(number)}" if abs(number) < MOST_SHOWN else ""


def _plain(context: Mapping[str, Any]) -> dict[str, Any]:
    """The limits of a rule as people write them: 86400.0 as 86400."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in context.items()
    }


def _no_kind(context: Mapping[str, Any]) -> str:
    """Of an object whose kind is told by a member of its own, which is missing or has another word."""
    name = context["discriminator"].strip("'")
    if "tag" not in context:
        return f"write `{name}`, which says what the other members are"
    kinds = context["expected_tags"]
    meant = did_you_mean(context["tag"], re.findall(r"'([^']*)'", kinds))
    return f"there is no {name} `{context['tag']}`: it is one of {kinds}{meant}"


def _known_words(context: Mapping[str, Any], not_here: Collection[str]) -> str:
    """The word of a condition that was perhaps meant, or else all there are, without the marks of their tags."""
    words = [word for word in re.findall(r"<(\w+)>", context["expected_tags"]) if word not in not_here]
    return did_you_mean(context["tag"].strip("<>"), words) or f"; a condition is one of {', '.join(words)}"


def essential(found: Iterable[tuple[str, str, str]], separator: str) -> list[tuple[str, str, str]]:
    """Of errors as (place, type, sentence), those to tell, as (place, code, sentence): one for each place.

    Where a value may be of several kinds, Pydantic has errors for each of them, also for those that are not meant: if
    something inside is wrong, that is what is told. A list whose items are wrong is not too short. A value that is of
    one of the types has the code of what is wrong with it, and not that of the other types.
    """
    told: dict[str, dict[str, str]] = {}
    for place, kind, detail in found:
        told.setdefault(place, {}).setdefault(detail, code_of(kind))
    return [
        (place, next((code for code in details.values() if code != WRONG_TYPE), WRONG_TYPE), ", or ".join(details))
        for place, details in told.items()
        if "too_many_items" in details.values() or not any(_is_inside(other, place, separator) for other in told)
    ]


def _is_inside(place: str, outer: str, separator: str) -> bool:
    return place != outer and place.startswith(outer + separator if outer else "")
