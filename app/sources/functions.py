"""Mapping functions in addition to those of JMESPath. Each takes any type and returns null rather than fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from jmespath.functions import Functions, signature

from app.matching.attribution import query_of
from app.matching.text import as_text, fold
from app.sources.reading import ReadTracker
from app.sources.structure import parse_json_text

_ANY: Final[Any] = {"types": []}

# The labels of a form repeat with every submission, so folding is cached; being untrusted, their length is capped.
_MAX_LABEL: Final = 200
_folded: Final = lru_cache(maxsize=8192)(fold)


@lru_cache(maxsize=2048)
def _alternatives(labels: str) -> tuple[str, ...]:
    return tuple(fold(label) for label in labels.split("|"))


class MappingFunctions(Functions):
    """The functions of JMESPath and of mappings, for one item."""

    def __init__(self, reads: ReadTracker) -> None:
        self._reads = reads
        self._folded_rows: dict[tuple[int, str], tuple[Any, dict[str, list[dict[str, Any]]]]] = {}

    @signature(_ANY, _ANY, _ANY)
    def _func_pairs(self, rows: Any, key: Any, value: Any) -> dict[str, Any]:
        """{row[key]: row[value]} of the rows not read yet; a repeated label gets a number: `label (2)`."""
        answers: dict[str, Any] = {}
        key, value = as_text(key), as_text(value)
        for row in _objects(rows):
            label, answer = as_text(row.get(key)), row.get(value)
            if label and answer not in (None, "", [], {}) and not self._reads.has_read(row, value):
                answers[_unique(label, answers)] = answer
        return answers

    @signature(_ANY, _ANY, _ANY, _ANY)
    def _func_answer(self, rows: Any, key: Any, value: Any, label: Any) -> Any:
        """The answer under a label, ignoring case and accents: an equal label, else a prefix, else a substring."""
        wanted = _folded(as_text(label)[:_MAX_LABEL])
        tests = (str.__eq__, str.startswith, str.__contains__)
        return self._answer(rows, key, value, (wanted,), tests) if wanted else None

    @signature(_ANY, _ANY, _ANY, _ANY)
    def _func_labelled(self, rows: Any, key: Any, value: Any, labels: Any) -> Any:
        """The first answer under one of the labels, which are separated by `|` and matched whole."""
        wanted = _alternatives(labels) if isinstance(labels, str) else ()
        return self._answer(rows, key, value, wanted, (str.__eq__,))

    def _answer(
        self, rows: Any, key: Any, value: Any, wanted: tuple[str, ...], tests: tuple[Callable[[str, str], bool], ...]
    ) -> Any:
        labels, value = self._labels(rows, as_text(key)), as_text(value)
        for test in tests:
            for label in wanted:
                named = [label] if test is str.__eq__ else [text for text in labels if test(text, label)]
                for row in (row for text in named for row in labels.get(text, ())):
                    if row.get(value) not in (None, "", []):
                        self._reads.record(row, value)
                        return row[value]
        return None

    def _labels(self, rows: Any, key: Any) -> dict[str, list[dict[str, Any]]]:
        # A list is searched for many labels, so it is folded once. The reference kept to it prevents reuse of its id().
        known = self._folded_rows.get((id(rows), key))
        if known is None:
            labels: dict[str, list[dict[str, Any]]] = {}
            for row in _objects(rows):
                labels.setdefault(_folded(as_text(row.get(key))[:_MAX_LABEL]), []).append(row)
            known = self._folded_rows[id(rows), key] = (rows, labels)
        return known[1]

    @signature(_ANY)
    def _func_typed(self, answer: Any) -> Any:
        """The value of an answer such as {"type": "email", "email": …}; choices as their labels."""
        if not isinstance(answer, dict):
            return None
        value = answer.get(as_text(answer.get("type")))
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("labels"), list):
            return [*value["labels"], *([value["other"]] if value.get("other") else [])]
        return next((value[name] for name in ("label", "other", "url", "id") if value.get(name)), value)

    @signature(_ANY, _ANY)
    def _func_titled(self, answers: Any, questions: Any) -> list[dict[str, Any]]:
        """Typed answers joined to their questions by id: [{key, label, ref, type, question, value}]. The key is the
        reference that the form's author chose; without one, or where it is a UUID, the question's title."""
        titles = {as_text(question.get("id")): as_text(question.get("title")) for question in _objects(questions)}
        rows = []
        for answer in _objects(answers):
            field: Any = answer.get("field") if isinstance(answer.get("field"), dict) else {}
            label = titles.get(as_text(field.get("id")), "").replace("*", "").replace("_", " ").strip()
            ref = as_text(field.get("ref"))
            key = label or ref if not ref or _is_uuid(ref) else ref
            value = self._func_typed(answer)
            kinds = {"type": as_text(answer.get("type")), "question": as_text(field.get("type"))}
            rows.append({"key": key, "label": label, "ref": ref, **kinds, "value": value})
        return rows

    @signature(_ANY)
    def _func_choices(self, field: Any) -> Any:
        """The value of a field, with option ids replaced by option texts."""
        if not isinstance(field, dict):
            return None
        value, options = field.get("value"), _objects(field.get("options"))
        texts = {as_text(option.get("id")): option.get("text", option.get("name")) for option in options}
        if isinstance(value, list) and texts:
            return [texts.get(as_text(member), member) for member in value]
        return texts.get(value, value) if isinstance(value, str) else value

    @signature(_ANY)
    def _func_obj_values(self, wrapped: Any) -> dict[str, Any]:
        """{name: value} of members wrapped as {"value": …}, without members already read."""
        members = wrapped.items() if isinstance(wrapped, dict) else ()
        values = {
            name: member.get("value") if isinstance(member, dict) else member
            for name, member in members
            if not self._reads.has_read(wrapped, name)
        }
        return {name: value for name, value in values.items() if value not in (None, "", [], {})}

    @signature(_ANY)
    def _func_rest(self, value: Any) -> dict[str, Any]:
        """The members of an object that the mapping has not read."""
        return self._reads.rest(value) or {}

    @signature(_ANY)
    def _func_first(self, value: Any) -> Any:
        """The first element of a list; any other value unchanged."""
        return (value[0] if value else None) if isinstance(value, list) else value

    @signature(_ANY)
    def _func_text(self, value: Any) -> str:
        """The value as lower-case text, stripped; "" for null."""
        return as_text(value).lower()

    @signature(_ANY)
    def _func_json(self, text: Any) -> Any:
        """The value of JSON text, null when it is invalid."""
        return parse_json_text(text) if isinstance(text, str) else None

    @signature(_ANY, _ANY)
    def _func_urlq(self, url: Any, name: Any) -> Any:
        """One query parameter of a URL."""
        return query_of(as_text(url)).get(as_text(name))

    @signature(_ANY, _ANY)
    def _func_lines(self, text: Any, separator: Any) -> dict[str, str]:
        """{name: value} of lines such as `first = Jane`."""
        mark = as_text(separator) or "="
        parts = [line.partition(mark) for line in as_text(text).splitlines()]
        return {name.strip(): value.strip() for name, found, value in parts if found and name.strip()}

    @signature(_ANY, _ANY)
    def _func_split(self, text: Any, separator: Any) -> list[str]:
        """The parts of a text, without empty ones."""
        mark = separator if isinstance(separator, str) and separator else ","
        return [part.strip() for part in as_text(text).split(mark) if part.strip()]

    @signature(_ANY, _ANY)
    def _func_path(self, value: Any, key: Any) -> Any:
        """A member by its literal key (`1.3`), else by dotted path. Not tracked as read: it stays in `custom`."""
        key = as_text(key)
        if isinstance(value, dict) and key in value:
            return value[key]
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value


def _objects(rows: Any) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _unique(label: str, existing: dict[str, Any]) -> str:
    number = 2
    name = label
    while name in existing:
        name, number = f"{label} ({number})", number + 1
    return name


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
