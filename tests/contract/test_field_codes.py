"""Every code that an entry of `errors` can have is in docs/errors.md, with its meaning."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from app.commands.openapi import field_codes
from app.errors import RequestInvalid
from app.policy.codes import TABLE, code_of
from app.problem import catalogue
from tests.api import KNOWN_CODES

APP = Path(__file__).parents[2] / "app"
# Calls that make an entry of `errors`, and which of their arguments is its code.
MAKERS = {
    "PydanticCustomError": 0,
    "Fault": 1,
    "Unstorable": 1,
    "_field": 1,
    "_fault": 1,
    "of": 1,
    "at": 1,
    "refuse": 2,
}
OWNERS = {"RequestInvalid", "ListInvalid"}  # of `of` and `at`
ELSEWHERE = {"app/commands/torture", "app/web/examples.py", "app/sources/addresses.py"}
CODES = {code: meaning for codes in field_codes().values() for code, meaning in codes.items()}


@cache
def nodes() -> list[tuple[str, ast.AST]]:
    """Each part of the code with the name of its file."""
    texts = {path.relative_to(APP.parent).as_posix(): path.read_text(encoding="utf-8") for path in APP.rglob("*.py")}
    return [(name, node) for name, text in texts.items() for node in ast.walk(ast.parse(text))]


def written(name: str, node: ast.AST) -> Iterator[str]:
    """The codes that an expression gives to an entry of `errors`, as far as they are written out there."""
    if isinstance(node, ast.Dict):
        named = {
            key.value: value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)
        }
        if named.keys() >= {"field", "code", "detail"}:
            yield from constants(named["code"])
    if not isinstance(node, ast.Call) or any(name.startswith(one) for one in ELSEWHERE):
        return
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = getattr(getattr(node.func, "value", None), "id", "")
    place = MAKERS.get(called)
    if place is not None and place < len(node.args) and (called not in ("of", "at") or owner in OWNERS):
        yield from constants(node.args[place])
    if called == "unknown" and len(node.args) > 1:
        yield from (f"unknown_{what}" for what in constants(node.args[1]))


def constants(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    if isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)


def test_every_code_that_is_written_in_the_code_is_listed() -> None:
    found = {(name, code_of(code)) for name, node in nodes() for code in written(name, node)}
    assert len(found) > 200
    assert {(name, code) for name, code in found if code not in KNOWN_CODES} == set()


def test_every_code_that_is_listed_is_written_in_the_code() -> None:
    texts = {str(node.value) for _, node in nodes() if isinstance(node, ast.Constant)}
    made = {f"unknown_{text}" for text in texts} | {f"{text}_invalid" for text in texts}
    assert {code for code in CODES if code not in texts | made} == set()


def test_a_code_is_listed_once_in_the_order_of_letters_with_a_sentence() -> None:
    assert sum(map(len, field_codes().values())) == len(CODES)
    assert not CODES.keys() & {code for code, _, _ in TABLE}
    for codes in field_codes().values():
        assert list(codes) == sorted(codes)
    assert [
        code
        for code, meaning in CODES.items()
        if not (meaning[:1].isupper() or meaning[0] == "`") or meaning[-1] != "."
    ] == []


def test_the_codes_of_problems_may_stand_in_errors_too() -> None:
    assert {each.code for each in catalogue()} <= KNOWN_CODES
    assert RequestInvalid.code in KNOWN_CODES
