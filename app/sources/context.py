"""What the expressions of a document see of one item, and what of it they have read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from app.matching.text import as_text
from app.sources.document import literal_or
from app.sources.expressions import Evaluator, ExpressionFailed
from app.sources.reading import Reading


class Context:
    """One item under evaluation. `failed` collects the expressions that could not be evaluated, by place."""

    def __init__(self, values: Mapping[str, Any], zone: tzinfo) -> None:
        self._values = dict(values)
        self.zone = zone
        self.reading = Reading()
        self._evaluator = Evaluator(self.reading)
        self.failed: dict[str, str] = {}

    @property
    def item(self) -> Any:
        """The item itself."""
        return self._values.get("item")

    def value(self, expression: str | None, place: str = "") -> Any:
        """The value of an expression; None, noted in `failed`, when a function met a type it cannot take."""
        if expression is None:
            return None
        try:
            return self._evaluator.value(expression, self._values)
        except ExpressionFailed as error:
            self.failed.setdefault(place or expression[:100], str(error))
            return None

    def holds(self, expression: str) -> bool:
        """Whether a condition is true. It reads without noting: a condition uses no answer up."""
        self.reading.noting = False
        try:
            return self._evaluator.value(expression, self._values) not in (None, False, "", [], {})
        except ExpressionFailed:
            return False
        finally:
            self.reading.noting = True

    def text(self, expression: str | None) -> str:
        """The text of an expression or literal."""
        if expression is None:
            return ""
        literal = literal_or(expression)
        return literal if literal is not None else as_text(self.value(expression))
