"""The codes in `errors` for what Pydantic refuses. Its own names of errors are not ours to keep stable.

Codes of single rules, such as `email_invalid`, are written where the rule is; they pass through here unchanged.
"""

from __future__ import annotations

from typing import Final

WRONG_TYPE: Final = "wrong_type"
# Each code with its meaning, and the error types of Pydantic that it stands for.
TABLE: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    ("missing", "A member or parameter that is required is not there.", ("missing",)),
    ("unknown_member", "No member of this name is known here.", ("extra_forbidden",)),
    (
        WRONG_TYPE,
        "The value is of another type: text, a number, true or false, an object, a list or null is wanted.",
        (
            *("bool_type", "bool_parsing", "int_type", "int_parsing", "int_from_float", "float_type", "float_parsing"),
            *("decimal_type", "decimal_parsing", "string_type", "bytes_type", "none_required", "invalid_key"),
            *("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type", "list_type"),
            *("tuple_type", "set_type", "frozen_set_type", "iterable_type", "iteration_error", "set_item_not_hashable"),
            *("date_type", "datetime_type", "time_type", "time_delta_type", "url_type", "uuid_type", "json_type"),
            *("is_instance_of", "is_subclass_of"),
        ),
    ),
    (
        "wrong_form",
        "A text is not written in the form that is needed, such as that of a date, a time or a URL.",
        (
            *("string_pattern_mismatch", "string_unicode", "bytes_invalid_encoding", "string_not_ascii"),
            *("date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact", "datetime_parsing"),
            *("datetime_from_date_parsing", "datetime_object_invalid", "timezone_naive", "timezone_aware"),
            *("timezone_offset", "time_parsing", "time_delta_parsing", "url_parsing", "url_syntax_violation"),
            *("url_scheme", "uuid_parsing", "uuid_version", "json_invalid"),
        ),
    ),
    (
        "out_of_range",
        "A number or time is too small or too large, or a number has more decimals than can be kept.",
        (
            *("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of", "finite_number"),
            *("int_parsing_size", "date_past", "date_future", "datetime_past", "datetime_future"),
            *("decimal_max_digits", "decimal_max_places", "decimal_whole_digits"),
        ),
    ),
    ("too_short", "A text has too few characters.", ("string_too_short", "bytes_too_short")),
    ("too_long", "A text has too many characters.", ("string_too_long", "bytes_too_long", "url_too_long")),
    ("too_few_items", "A list or object has too few entries.", ("too_short",)),
    ("too_many_items", "A list or object has too many entries.", ("too_long",)),
    ("unknown_value", "The value is not one of those that are possible.", ("enum", "literal_error")),
    (
        "unknown_word",
        "An object is of none of the known kinds: the word that tells its kind is missing or unknown.",
        ("union_tag_invalid", "union_tag_not_found"),
    ),
    (
        "invalid",
        "Another rule is not kept; `detail` says which.",
        ("value_error", "assertion_error", "recursion_loop", "recursion_depth_exceeded"),
    ),
)
NAMES: Final = frozenset(code for code, _, _ in TABLE)
_CODES: Final = {kind: code for code, _, kinds in TABLE for kind in kinds}


def code_of(kind: str) -> str:
    """The code for an error type of Pydantic. The code of a rule of our own stays as it is."""
    return _CODES.get(kind, kind)
