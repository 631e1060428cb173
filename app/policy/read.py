"""Read a policy document from YAML or JSON: a valid Policy, or its faults with their places. Never raises."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from app.policy.check import faults
from app.policy.document import Policy
from app.policy.fault import Fault, escaped
from app.policy.sentences import essential, sentence

MAX_CHARACTERS = 256 * 1024
MAX_DEPTH = 48
MAX_NODES = 50_000
Read = TypeVar("Read")
POLICY: Final = TypeAdapter(Policy)
CODES = ("missing", "unknown_member", "unknown_word")  # all else is `invalid`


class Loader(yaml.SafeLoader):
    """YAML without aliases, by which a small text could expand to a huge document, and without duplicate members.

    The pure-Python parser: the C parser recurses in C, and a deeply nested text would crash the process.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported: repeat the value")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        mapping: dict[object, object] = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a member is given more than once")
        return mapping


def read(text: str | bytes) -> Policy | list[Fault]:
    """The policy of a YAML or JSON text, or its faults; `check.faults(policy)` lists the warnings of a valid one."""
    if isinstance(text, bytes) and len(text) > 4 * MAX_CHARACTERS:
        return [_too_large()]
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        if len(decoded) > MAX_CHARACTERS:
            return [_too_large()]
        is_json = decoded.lstrip()[:1] == "{"
        data = json.loads(decoded, object_pairs_hook=_members) if is_json else yaml.load(decoded, Loader)  # noqa: S506
    except Exception as error:
        return [Fault("", "unreadable", _unreadable(error))]
    return read_document(data)


def _too_large() -> Fault:
    return Fault("", "too_large", f"the document has more than {MAX_CHARACTERS} characters")


def problems(found: Policy | list[Fault]) -> list[Fault]:
    """Everything to tell of a document that was read: its faults, or the warnings of a valid one."""
    return found if isinstance(found, list) else faults(found)


def read_document(data: object) -> Policy | list[Fault]:
    """The policy of a document that is parsed already, or its faults."""
    policy = parsed(POLICY, data, "a policy is an object with schema, name, stages and so on")
    if isinstance(policy, list):
        return policy
    return [fault for fault in faults(policy) if fault.kind == "fault"] or policy


def parsed(
    adapter: TypeAdapter[Read],
    data: object,
    what: str,
    codes: Collection[str] = CODES,
    not_here: Collection[str] = (),
) -> Read | list[Fault]:
    """What the adapter makes of parsed JSON, or its faults. `what`: what is expected, for data that is no object.

    `codes`: those that are told, all else is `invalid`. `not_here`: words of conditions that are not offered.
    """
    if found := list(_not_json(data)):
        return found
    if not isinstance(data, Mapping):
        return [Fault("", "invalid", f"{what}, and this {_what(data)}")]
    try:
        return adapter.validate_json(json.dumps(data))
    except ValidationError as error:
        wrong = error.errors(include_url=False)[:200]
        each = ((_place(one["loc"], one["type"], data), one["type"], sentence(one, not_here)) for one in wrong)
        told = essential(each, "/")
        return [Fault(place, code if code in codes else "invalid", detail[:300]) for place, code, detail in told]
    except (ValueError, RecursionError) as error:
        return [Fault("", "unreadable", _one_line(error))]


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given more than once")
    return members


def _not_json(data: object) -> Iterator[Fault]:
    """The first value that JSON does not have, or the place where the document is too deep or too large."""
    waiting: list[tuple[str, object, int]] = [("", data, 1)]
    nodes = 0
    while waiting:
        place, node, depth = waiting.pop()
        nodes += 1
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            detail = f"at most {MAX_DEPTH} levels and {MAX_NODES} values are allowed"
            yield Fault(place, "too_deep" if depth > MAX_DEPTH else "too_large", detail)
            return
        if isinstance(node, Mapping):
            if wrong := [name for name in node if not isinstance(name, str)]:
                yield Fault(place, "invalid", f"the member name {ascii(wrong[0])[:60]} is not text")
                return
            waiting.extend((f"{place}/{escaped(name)}", member, depth + 1) for name, member in node.items())
        elif isinstance(node, list | tuple):
            waiting.extend((f"{place}/{index}", member, depth + 1) for index, member in enumerate(node))
        elif node is not None and not isinstance(node, str | bool | int | float):
            yield Fault(place, "invalid", "this is no value of JSON: write it in quotation marks")
            return


def _place(loc: Sequence[int | str], kind: str, data: object) -> str:
    """The JSON pointer of a validation error, without the tags of unions that Pydantic puts into `loc`."""
    place, node = "", data
    for number, step in enumerate(loc, 1):
        missing = kind == "missing" and number == len(loc)
        if isinstance(step, str) and step.startswith("<") and step.endswith(">"):
            continue
        if isinstance(node, Mapping) and isinstance(step, str) and (step in node or missing):
            node = node.get(step)
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            continue  # the name of a union's type, or the marker of a dict's key: not in the document
        place += f"/{escaped(str(step))}"
    return place


def _what(data: object) -> str:
    if data is None:
        return "is empty"
    return "is a list" if isinstance(data, list | tuple) else "is a single value"


def _unreadable(error: Exception) -> str:
    """Why a text is no document, with the line where that is known."""
    if isinstance(error, UnicodeDecodeError | yaml.reader.ReaderError):
        return "this is no text in UTF-8: give a file of YAML or JSON"
    if isinstance(error, RecursionError):
        return "this is nested too deeply"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"this is no YAML: line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}"
    if isinstance(error, json.JSONDecodeError):
        return f"this is no JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    return _one_line(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or "this cannot be read"
