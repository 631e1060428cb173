"""A docstring says in a sentence when an exception is raised, and never has a bare name of one."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

FILES = {file: ast.parse(file.read_text("utf-8")) for file in sorted(Path("app").rglob("*.py"))}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def exceptions() -> set[str]:
    """The names of Python's own exceptions, and of all classes of the application that derive from one."""
    parents = [
        (node.name, {ast.unparse(parent).rpartition(".")[2] for parent in node.bases})
        for tree in FILES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    found = {name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, BaseException)}
    found.add("HTTPException")  # that of Starlette
    while more := {name for name, own in parents if name not in found and own & found}:
        found |= more
    return found


def test_no_docstring_has_a_bare_name_of_an_exception() -> None:
    names = exceptions()
    assert {"LeadNotFound", "TooCostly", "CannotStart", "ValueError"} <= names
    starts = re.compile(rf"(?:^|[.;]\s+)(?:…?(?:{'|'.join(sorted(names))}))\b")
    docstrings = [
        (f"{file}:{node.lineno}", ast.get_docstring(node) or "")
        for file, tree in FILES.items()
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
    ]
    assert len(docstrings) > 1000
    assert [place for place, text in docstrings if starts.search(text)] == []
