"""Texts of a fixed form. A text of another form is refused with a sentence and an example, never with the pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

SNAKE_CASE = "write small letters, digits and _, a letter first"
NAMESPACE = r"^[A-Za-z0-9][A-Za-z0-9_:.\-]{0,63}$"
NAMESPACE_SENTENCE = "write a namespace of letters, digits and _ : . -, at most 64"


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "write a number: true and false are none")
    return value


# Python takes true for 1. Strict models refuse it of an `int`, but not of a literal.
NOT_BOOLEAN: Final = BeforeValidator(_no_boolean)
One = Annotated[Literal[1], NOT_BOOLEAN]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


@dataclass(frozen=True, slots=True)
class Like:
    """Annotates a text of one form: `Annotated[str, Like("demo_request", "write small letters", "^[a-z_]+$")]`.

    The sentence says how to write one. The pattern is shown in OpenAPI only.
    """

    example: str
    sentence: str
    pattern: str

    def check(self, value: str) -> str:
        if not _compiled(self.pattern).fullmatch(value):
            context = {"sentence": self.sentence, "example": self.example}
            raise PydanticCustomError("string_pattern_mismatch", "{sentence}, like {example}", context)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": self.pattern, "examples": [self.example]}
