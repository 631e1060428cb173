"""Which modules are at the root of app/, and that there are no import cycles."""

from graphlib import TopologicalSorter
from pathlib import Path

import grimp

APP = Path(__file__).parents[2] / "app"
FOUNDATION = {"settings", "errors", "ids", "clock", "keyring", "log", "metrics"}


def test_the_root_of_app_has_only_the_foundation_modules_and_main() -> None:
    assert {path.stem for path in APP.glob("*.py")} == FOUNDATION | {"__init__", "__main__"}


def test_there_are_no_import_cycles() -> None:
    graph = grimp.build_graph("app", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    in_order = list(TopologicalSorter(imports).static_order())  # raises CycleError, which names the cycle
    assert {"app.web.application", "app.policy.conditions"} <= set(in_order)
