"""Which modules are at the root of app/, and that there are no import cycles."""

import re
from graphlib import TopologicalSorter
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import grimp

APP = Path(__file__).parents[2] / "app"
FOUNDATION = {"problem", "settings", "errors", "ids", "clock", "keyring", "log", "metrics"}


def test_the_root_of_app_has_only_the_foundation_modules_and_main() -> None:
    assert {path.stem for path in APP.glob("*.py")} == FOUNDATION | {"__init__", "__main__"}


def test_there_are_no_import_cycles() -> None:
    graph = grimp.build_graph("app", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    in_order = list(TopologicalSorter(imports).static_order())  # raises CycleError, which names the cycle
    assert {"app.web.application", "app.policy.conditions"} <= set(in_order)


def test_every_module_and_function_that_the_architecture_page_names_exists() -> None:
    page = (APP.parent / "docs" / "architecture.md").read_text()
    named = re.findall(r"`(app(?:\.\w+)+)(?::([\w.]+))?`", page)
    assert len(named) > 60
    for module, member in named:
        attrgetter(member)(import_module(module)) if member else import_module(module)
    paths = re.findall(r"`((?:app|tests)/[\w./]+)`", page)
    assert [path for path in paths if not (APP.parent / path).exists()] == []


def test_the_architecture_page_places_every_folder() -> None:
    page = (APP.parent / "docs" / "architecture.md").read_text()
    folders = {path.name for path in APP.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {name for name in folders if f"`{name}`" not in page} == set()
