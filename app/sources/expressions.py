"""JMESPath with the mapping functions. Reads are tracked, so that unread members of an item are kept as `custom`."""

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
from app.sources.reading import ReadTracker

MAX_EXPRESSION: Final = 4_000
ROOTS: Final = frozenset({"body", "headers", "query", "received_at", "item", "index"})


class ExpressionFailed(Exception):
    """An expression could not be evaluated on this item."""


@lru_cache(maxsize=8192)
def compiled(expression: str) -> ParsedResult:
    """The parsed expression, cached; ValueError with the reason when it is invalid."""
    if len(expression) > MAX_EXPRESSION:
        raise ValueError(f"an expression has at most {MAX_EXPRESSION} characters")
    try:
        parsed = jmespath.compile(expression)
    except (JMESPathError, ValueError, RecursionError) as error:
        raise ValueError(f"not a JMESPath expression: {str(error).splitlines()[0][:200]}") from None
    for name, arguments in _calls(parsed.parsed):
        signature = MappingFunctions.FUNCTION_TABLE.get(name, {}).get("signature")
        if signature is None:
            raise ValueError(f"not a JMESPath expression: unknown function {name}")
        if len(signature) != arguments and not any(argument.get("variadic") for argument in signature):
            raise ValueError(f"not a JMESPath expression: {name} takes {len(signature)} arguments")
    return parsed


@lru_cache(maxsize=8192)
def _program(expression: str) -> Step:
    return build(compiled(expression).parsed)


def is_literal(text: str) -> bool:
    """Whether the text is a literal: not valid JMESPath, or a single bare word."""
    try:
        node = compiled(text).parsed
    except ValueError:
        return True
    return node["type"] == "field" and node["value"] not in ROOTS


class Context(TreeInterpreter):
    """Evaluates a document's expressions on named values and tracks which members were read.

    `failed` maps the place of each expression that could not be evaluated to the reason. `zone` applies to times
    without an offset.
    """

    def __init__(self, values: Mapping[str, Any], zone: tzinfo = UTC) -> None:
        self.values = values
        self.zone = zone
        self.failed: dict[str, str] = {}
        self.reads = ReadTracker()
        self.functions = MappingFunctions(self.reads)
        super().__init__(Options(custom_functions=self.functions))

    def visit_field(self, node: Any, value: Any) -> Any:
        """A member of an object, tracked as read; None for values that are not objects."""
        if not isinstance(value, dict):
            return None
        self.reads.record(value, node["value"])
        return value.get(node["value"])

    def evaluate(self, expression: str) -> Any:
        """The value of an expression; ExpressionFailed when a function gets an argument of a wrong type."""
        try:
            return _program(expression)(self.values, self)
        # The functions run on untrusted input and may raise anything.
        except Exception as error:
            raise ExpressionFailed(f"{type(error).__name__}: {str(error)[:200]}") from error

    def value(self, expression: str | None, place: str = "") -> Any:
        """The value of an expression; None, with the reason in `failed`, when it cannot be evaluated."""
        if expression is None:
            return None
        try:
            return self.evaluate(expression)
        except ExpressionFailed as error:
            self.failed.setdefault(place or expression[:100], str(error))
            return None

    def holds(self, expression: str) -> bool:
        """Whether a condition is true. Not tracked: an answer read only by a condition stays in `custom`."""
        self.reads.enabled = False
        try:
            return self.evaluate(expression) not in (None, False, "", [], {})
        except ExpressionFailed:
            return False
        finally:
            self.reads.enabled = True

    def text(self, expression: str | None) -> str:
        """The value of an expression as text, or the literal itself."""
        if expression is not None and is_literal(expression):
            return expression
        return as_text(self.value(expression))


def _calls(node: Any) -> Iterator[tuple[str, int]]:
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _calls(child)
