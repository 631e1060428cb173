"""Mapping functions in addition to those of JMESPath. Each takes any type and returns null rather than fail.

Every function is charged to the budget for what it reads. Those in _CHARGE_THEMSELVES charge for the texts and rows
that they look at; those in _READ_TOP look at a value and none of its members; those in _READ_MEMBERS at each member,
but not into it. Any other function, also a future one, is charged for its arguments with all their parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from jmespath.functions import Functions, signature

from app.matching.attribution import query_of
from app.matching.text import as_text, fold
from app.sources.budget import Budget
from app.sources.field_names import MAX_NAME, Reading, readings, squeezed
from app.sources.reading import ReadTracker
from app.sources.structure import listed, parse_json_text

_ANY: Final[Any] = {"types": []}

# The labels of a form repeat with every submission, so folding is cached; being untrusted, their length is capped.
_MAX_LABEL: Final = 200
_folded: Final = lru_cache(maxsize=8192)(fold)


_MAX_LABELS: Final = 4_000
_MAX_WORD: Final = 64
_SHORT: Final = 32  # a text up to this length costs no more than the step that reads it
MAX_NESTED: Final = 8  # objects in objects in which fields are looked for
_PARTS_SIZE: Final = 3  # a text that is split grows at most by this factor
_SUBFIELD: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")

_READ_TOP: Final = frozenset({"length", "not_null", "to_array", "type", "first"})
_READ_MEMBERS: Final = frozenset({"keys", "values", "merge", "map", "sort_by", "min_by", "max_by", "obj_values"})
_CHARGE_THEMSELVES: Final = frozenset(
    {
        "pairs",
        "answer",
        "labelled",
        "typed",
        "titled",
        "choices",
        "rest",
        "text",
        "snake",
        "urlq",
        "lines",
        "split",
        "path",
        "named",
    }
)


# The objects, from the form down, with the member to take of each; and the fields by the first part of a reading.
_Place = tuple[tuple[dict[str, Any], str], ...]
_Fields = dict[str, list[tuple[Reading, _Place]]]


@lru_cache(maxsize=2048)
def _alternatives(labels: str) -> tuple[str, ...]:
    return tuple(fold(label) for label in labels.split("|"))


@lru_cache(maxsize=2048)
def _ranks(names: str) -> dict[str, int]:
    """The names, each with its place in the list."""
    return {name: place for place, name in enumerate(dict.fromkeys(map(squeezed, names.split("|"))))}


class MappingFunctions(Functions):
    """The functions of JMESPath and of mappings, for one item."""

    def __init__(self, reads: ReadTracker, budget: Budget) -> None:
        self._reads = reads
        self._budget = budget
        self._named_forms: dict[int, tuple[Any, list[_Fields]]] = {}
        self._folded_rows: dict[tuple[int, str], tuple[Any, dict[str, list[dict[str, Any]]]]] = {}

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        """The result of a function. Raises TooCostly when reading its arguments or the result is over the budget."""
        resolved_args = list(resolved_args)
        if function_name in _READ_MEMBERS:
            self._budget.spend(sum(len(one) for one in resolved_args if isinstance(one, list | dict)))
        elif function_name not in _READ_TOP and function_name not in _CHARGE_THEMSELVES:
            for argument in resolved_args:
                self._budget.read(argument)
        return self._budget.made(super().call_function(function_name, resolved_args))

    def _text(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > _SHORT:
            self._budget.read(value)
        return as_text(value)

    def _objects(self, rows: Any) -> list[dict[str, Any]]:
        if not isinstance(rows, list):
            return []
        self._budget.spend(len(rows))
        return [row for row in rows if isinstance(row, dict)]

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: list[str]) -> str:
        """As in JMESPath; measured before it is made."""
        self._budget.check(len(separator) * len(texts) + sum(map(len, texts)))
        return separator.join(texts)

    @signature(_ANY, _ANY, _ANY)
    def _func_pairs(self, rows: Any, key: Any, value: Any) -> dict[str, Any]:
        """{row[key]: row[value]} of the rows not read yet; a repeated label gets a number: `label (2)`."""
        answers: dict[str, Any] = {}
        numbers: dict[str, int] = {}
        key, value = self._text(key), self._text(value)
        for row in self._objects(rows):
            label, answer = self._text(row.get(key)), row.get(value)
            if label and answer not in (None, "", [], {}) and not self._reads.has_read(row, value):
                answers[_unique(label, answers, numbers)] = answer
        return answers

    @signature(_ANY, _ANY, _ANY, _ANY)
    def _func_answer(self, rows: Any, key: Any, value: Any, label: Any) -> Any:
        """The answer under a label, ignoring case and accents: an equal label, else a prefix, else a substring."""
        wanted = _folded(self._text(label)[:_MAX_LABEL])
        tests = (str.__eq__, str.startswith, str.__contains__)
        return self._answer(rows, key, value, (wanted,), tests) if wanted else None

    @signature(_ANY, _ANY, _ANY, _ANY)
    def _func_labelled(self, rows: Any, key: Any, value: Any, labels: Any) -> Any:
        """The first answer under one of the labels, which are separated by `|` and matched whole."""
        wanted = _alternatives(labels[:_MAX_LABELS]) if isinstance(labels, str) else ()
        return self._answer(rows, key, value, wanted, (str.__eq__,))

    @signature(_ANY, _ANY)
    def _func_named(self, form: Any, names: Any) -> Any:
        """The first answer of a form under one of the names, which are separated by `|`: a name as it is written before
        one of which a part does not count (app/sources/field_names.py)."""
        if not isinstance(form, dict) or not isinstance(names, str):
            return None
        wanted = _ranks(names[:_MAX_LABELS])
        for fields in self._named_fields(form):
            self._budget.spend(min(len(wanted), len(fields)))
            found = sorted(wanted.keys() & fields.keys(), key=wanted.__getitem__)
            for reading, place in (field for name in found for field in fields[name]):
                self._budget.spend(1)
                *_, (container, key) = place
                if container[key] not in (None, "", []) and all(part in wanted for part in reading):
                    for parent, name in place:
                        self._reads.record(parent, name)
                    return container[key]
        return None

    def _named_fields(self, form: dict[str, Any]) -> list[_Fields]:
        """The fields of a form and of the objects in it, by the names that are compared: the nearest reading first."""
        known = self._named_forms.get(id(form))
        if known is None:
            levels: list[_Fields] = [{}, {}, {}]
            for place in self._places(form):
                path = tuple(name[:MAX_NAME] for _, name in place)
                for level, found in zip(levels, readings(path), strict=False):
                    for reading in found:
                        level.setdefault(reading[0], []).append((reading, place))
            known = self._named_forms[id(form)] = (form, [level for level in levels if level])
        return known[1]

    def _places(self, form: dict[str, Any]) -> Iterator[_Place]:
        """The way to each field: first those of the form itself, then those of the objects in it, and so on."""
        around: list[tuple[_Place, dict[str, Any]]] = [((), form)]
        for _ in range(MAX_NESTED):
            self._budget.spend(sum(len(container) for _, container in around))
            fields = [((*place, (one, key)), member) for place, one in around for key, member in one.items()]
            yield from (place for place, member in fields if not isinstance(member, dict))
            around = [(place, member) for place, member in fields if isinstance(member, dict)]

    def _answer(
        self, rows: Any, key: Any, value: Any, wanted: tuple[str, ...], tests: tuple[Callable[[str, str], bool], ...]
    ) -> Any:
        labels, value = self._labels(rows, self._text(key)), self._text(value)
        self._budget.spend(len(wanted) + (len(labels) if len(tests) > 1 else 0))
        for test in tests:
            for label in wanted:
                named = [label] if test is str.__eq__ else [text for text in labels if test(text, label)]
                for row in (row for text in named for row in labels.get(text, ())):
                    self._budget.spend(1)
                    if row.get(value) not in (None, "", []):
                        self._reads.record(row, value)
                        return row[value]
        return None

    def _labels(self, rows: Any, key: Any) -> dict[str, list[dict[str, Any]]]:
        # A list is searched for many labels, so it is folded once. The reference kept to it prevents reuse of its id().
        known = self._folded_rows.get((id(rows), key))
        if known is None:
            labels: dict[str, list[dict[str, Any]]] = {}
            for row in self._objects(rows):
                labels.setdefault(_folded(self._text(row.get(key))[:_MAX_LABEL]), []).append(row)
            known = self._folded_rows[id(rows), key] = (rows, labels)
        return known[1]

    @signature(_ANY)
    def _func_to_array(self, value: Any) -> list[Any]:
        """As in JMESPath; of a list with gaps, as PHP writes it, its elements."""
        return listed(value)

    @signature(_ANY)
    def _func_typed(self, answer: Any) -> Any:
        """The value of an answer such as {"type": "email", "email": …}; choices as their labels."""
        if not isinstance(answer, dict):
            return None
        value = answer.get(self._text(answer.get("type")))
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("labels"), list):
            self._budget.spend(len(value["labels"]))
            return [*value["labels"], *([value["other"]] if value.get("other") else [])]
        return next((value[name] for name in ("label", "other", "url", "id") if value.get(name)), value)

    @signature(_ANY, _ANY)
    def _func_titled(self, answers: Any, questions: Any) -> list[dict[str, Any]]:
        """Typed answers joined to their questions by id: [{key, label, ref, type, question, value}]. The key is the
        reference that the form's author chose; without one, or where it is a UUID, the question's title. Ids of a
        question's `options` are replaced by their texts."""
        known = {self._text(one.get("id")): one for one in self._objects(questions)}
        rows = []
        for answer in self._objects(answers):
            field: Any = answer.get("field") if isinstance(answer.get("field"), dict) else {}
            question = known.get(self._text(field.get("id")), {})
            label = self._text(question.get("title")).replace("*", "").replace("_", " ").strip()
            ref = self._text(field.get("ref"))
            key = label or ref if not ref or _is_uuid(ref) else ref
            value = self._chosen(self._func_typed(answer), question.get("options"))
            kinds = {"type": self._text(answer.get("type")), "question": self._text(field.get("type"))}
            rows.append({"key": key, "label": label, "ref": ref, **kinds, "value": value})
        return rows

    @signature(_ANY)
    def _func_choices(self, field: Any) -> Any:
        """The value of a field, with option ids replaced by option texts."""
        return self._chosen(field.get("value"), field.get("options")) if isinstance(field, dict) else None

    def _chosen(self, value: Any, options: Any) -> Any:
        """The value with ids of options replaced by the texts of these; an id of none of them stays."""
        texts = {
            self._text(one.get("id")): next((one[name] for name in ("text", "name") if self._text(one.get(name))), None)
            for one in self._objects(options)
        }
        if isinstance(value, list) and texts:
            self._budget.spend(len(value))
            return [texts.get(self._text(member)) or member for member in value]
        return texts.get(self._text(value)) or value if texts and isinstance(value, str | int) else value

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

    @signature(_ANY, _ANY)
    def _func_subfields(self, form: Any, separator: Any) -> list[dict[str, Any]]:
        """Fields that a form sends in numbered parts, `5.1` and `5.3`: [{key: "5", parts: {"1": …, "3": …}, value}].
        The value is the text of the parts that are not empty, in their order, with the separator between them."""
        fields: dict[str, dict[str, Any]] = {}
        for name, answer in form.items() if isinstance(form, dict) else ():
            if numbers := _SUBFIELD.fullmatch(name):
                fields.setdefault(numbers[1], {})[numbers[2]] = answer
        between, rows = separator if isinstance(separator, str) else "", []
        self._budget.check(len(between) * sum(map(len, fields.values())))
        for key, parts in fields.items():
            ordered = dict(sorted(parts.items(), key=lambda part: int(part[0])))
            value = between.join(filter(None, map(self._text, ordered.values())))
            rows.append({"key": key, "parts": ordered, "value": value})
        return rows

    @signature(_ANY)
    def _func_rest(self, value: Any) -> dict[str, Any]:
        """The members of an object that the mapping has not read."""
        self._budget.read(value)
        return self._reads.rest(value) or {}

    @signature(_ANY)
    def _func_first(self, value: Any) -> Any:
        """The first element of a list; any other value unchanged."""
        return (value[0] if value else None) if isinstance(value, list) else value

    @signature(_ANY)
    def _func_text(self, value: Any) -> str:
        """The value as lower-case text, stripped; "" for null."""
        return self._text(value).lower()

    @signature(_ANY)
    def _func_json(self, text: Any) -> Any:
        """The value of JSON text, null when it is invalid."""
        if not isinstance(text, str):
            return None
        self._budget.check(_PARTS_SIZE * len(text))
        return parse_json_text(text)

    @signature(_ANY)
    def _func_snake(self, value: Any) -> str:
        """A text as one snake_case word, such as a type of activity: `Order Completed!` is `order_completed`; "" for a
        text that has no letters before its digits."""
        return "_".join(re.findall(r"[a-z0-9]+", fold(self._text(value))))[:_MAX_WORD].strip("_").lstrip("0123456789_")

    @signature(_ANY, _ANY)
    def _func_urlq(self, url: Any, name: Any) -> Any:
        """One query parameter of a URL."""
        return query_of(self._text(url)).get(self._text(name))

    @signature(_ANY, _ANY)
    def _func_lines(self, text: Any, separator: Any) -> dict[str, str]:
        """{name: value} of lines such as `first = Jane`."""
        mark, written = self._text(separator) or "=", self._text(text)
        self._budget.check(_PARTS_SIZE * len(written))
        parts = [line.partition(mark) for line in written.splitlines()]
        return {name.strip(): value.strip() for name, found, value in parts if found and name.strip()}

    @signature(_ANY, _ANY)
    def _func_split(self, text: Any, separator: Any) -> list[str]:
        """The parts of a text, without empty ones."""
        mark = separator if isinstance(separator, str) and separator else ","
        written = self._text(text)
        self._budget.check(_PARTS_SIZE * len(written))
        return [part.strip() for part in written.split(mark) if part.strip()]

    @signature(_ANY, _ANY)
    def _func_path(self, value: Any, key: Any) -> Any:
        """A member by its literal key (`1.3`), else by dotted path. Not tracked as read: it stays in `custom`."""
        key = self._text(key)
        if isinstance(value, dict) and key in value:
            return value[key]
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value


def _unique(label: str, existing: dict[str, Any], numbers: dict[str, int]) -> str:
    """The label, or the first `label (n)` that is free; `numbers` holds the last n of each label."""
    name = label
    while name in existing:
        numbers[label] = numbers.get(label, 1) + 1
        name = f"{label} ({numbers[label]})"
    return name


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
