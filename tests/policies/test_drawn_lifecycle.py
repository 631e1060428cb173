"""The diagram of the lifecycle in docs/policies.md matches the shipped policy."""

import re
from pathlib import Path

from app.policy.shipped import shipped

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
ARROWS = re.compile(r"^\s*(\w+|\[\*\])\s*-->\s*(\w+|\[\*\])\s*(?::\s*(.+))?$", re.MULTILINE)


def test_every_arrow_of_the_diagram_is_a_transition_of_the_policy() -> None:
    policy = shipped("waterfall")
    found = ARROWS.findall(PAGE)
    assert len(found) >= 8, "the diagram was not found"
    for start, end, label in found:
        if "[*]" in (start, end):
            continue
        name = label.split()[0]
        action = policy.action_of[name]
        assert start in action.sources, f"{name} does not leave {start}"
        assert action.to in (end, "held"), f"{name} does not lead to {end}"
