"""The house: what stands at the root of app/, and that no imports go in a circle (docs/architecture.md)."""

from graphlib import TopologicalSorter
from pathlib import Path

import grimp

APP = Path(__file__).parents[2] / "app"
FOUNDATION = {"settings", "errors", "ids", "clock", "keyring", "log", "metrics"}


def test_the_root_holds_the_foundation_and_the_start_and_nothing_else() -> None:
    assert {path.stem for path in APP.glob("*.py")} == FOUNDATION | {"__init__", "__main__"}


def test_no_imports_go_in_a_circle() -> None:
    graph = grimp.build_graph("app", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    in_order = list(TopologicalSorter(imports).static_order())  # CycleError, with the circle
    assert {"app.web.application", "app.policy.conditions"} <= set(in_order)
