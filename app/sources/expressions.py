"""JMESPath with the functions of our mappings, and a note of what was read: the rest of an item is kept as custom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from jmespath.visitor import Options, TreeInterpreter

from app.matching.text import as_text
from app.sources.closures import Step, build
from app.sources.functions import MappingFunctions
from app.sources.reading import Reading

MAX_EXPRESSION: Final = 4_000
ROOTS: Final = frozenset({"body", "headers", "query", "received_at", "item", "index"})


class ExpressionFailed(Exception):
    """An expression could not be evaluated on this item."""


@lru_cache(maxsize=8192)
def compiled(expression: str) -> ParsedResult:
    """The expression, parsed once; ValueError with the reason when it is none."""
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"an expression has at most {MAX_EXPRESSION} characters")
    try:
        parsed = jmespath.compile(expression)
    except (JMESPathError, ValueError, RecursionError) as error:
        raise ValueError(f"not a JMESPath expression: {str(error).splitlines()[0][:200]}") from None
    for name, arguments in _calls(parsed.parsed):
        signature = MappingFunctions.FUNCTION_TABLE.get(name, {}).get("signature")
        if signature is None:
            raise ValueError(f"not a JMESPath expression: there is no function {name}")
        if len(signature) != arguments and not any(argument.get("variadic") for argument in signature):
            raise ValueError(f"not a JMESPath expression: {name} takes {len(signature)} arguments")
    return parsed


@lru_cache(maxsize=8192)
def _program(expression: str) -> Step:
    return build(compiled(expression).parsed)


def is_literal(text: str) -> bool:
    """Whether a text that may be an expression or a literal is a literal: no JMESPath, or one bare word."""
    try:
        node = compiled(text).parsed
    except ValueError:
        return True
    return node["type"] == "field" and node["value"] not in ROOTS


class Context(TreeInterpreter):
    """What the expressions of a document see: the values by their names, and which members of them have been read.

    `failed` collects the expressions that could not be evaluated, by place; `zone` is that of times without one.
    """

    def __init__(self, values: Mapping[str, Any], zone: tzinfo = UTC) -> None:
        self.values = values
        self.zone = zone
        self.failed: dict[str, str] = {}
        self.reading = Reading()
        self.functions = MappingFunctions(self.reading)
        super().__init__(Options(custom_functions=self.functions))

    def visit_field(self, node: Any, value: Any) -> Any:
        """A member of an object, noted as read; None of anything else."""
        if not isinstance(value, dict):
            return None
        self.reading.note(value, node["value"])
        return value.get(node["value"])

    def evaluate(self, expression: str) -> Any:
        """The value of an expression; ExpressionFailed when a function meets a type it cannot take."""
        try:
            return _program(expression)(self.values, self)
        # The library calls functions on whatever a stranger sent: any of them may fail in its own way.
        except Exception as error:
            raise ExpressionFailed(f"{type(error).__name__}: {str(error)[:200]}") from error

    def value(self, expression: str | None, place: str = "") -> Any:
        """The value of an expression; None, noted in `failed`, when it could not be evaluated."""
        if expression is None:
            return None
        try:
            return self.evaluate(expression)
        except ExpressionFailed as error:
            self.failed.setdefault(place or expression[:100], str(error))
            return None

    def holds(self, expression: str) -> bool:
        """Whether a condition is true. It reads without noting: a condition uses no answer up."""
        self.reading.noting = False
        try:
            return self.evaluate(expression) not in (None, False, "", [], {})
        except ExpressionFailed:
            return False
        finally:
            self.reading.noting = True

    def text(self, expression: str | None) -> str:
        """The text of an expression or literal."""
        if expression is not None and is_literal(expression):
            return expression
        return as_text(self.value(expression))


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _calls(child)
