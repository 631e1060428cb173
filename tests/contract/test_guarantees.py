"""docs/guarantees.md names tests that exist, for each of the ten guarantees."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from app.commands.torture.judge import RULES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
ROWS = {row[1]: row[2] for row in re.finditer(r"^\| (G\d+) \|(.+)$", PAGE, re.MULTILINE)}
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def functions_of(path: Path) -> set[str]:
    """The names of the test functions of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_guarantee_names_tests_that_exist() -> None:
    assert list(ROWS) == [f"G{number}" for number in range(1, 11)]
    missing = []
    for guarantee, row in ROWS.items():
        named = NAMED.findall(row)
        assert named, f"{guarantee} has no test"
        missing += [f"{guarantee}: {file}::{name}" for file, name in named if name not in functions_of(ROOT / file)]
    assert missing == []


def test_each_rule_of_a_torture_is_explained() -> None:
    assert [rule for rule in RULES if f"\n| {rule} | " not in PAGE] == []
