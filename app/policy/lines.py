"""The line of each place of a policy document, for people who look for a fault in a file."""

from __future__ import annotations

import yaml

from app.policy.fault import escaped
from app.policy.read import MAX_CHARACTERS, Loader


def line_of(place: str, lines: dict[str, int]) -> int | None:
    """The line of a JSON pointer; of what is missing, the line of the innermost part that would hold it."""
    while place and place not in lines:
        place = place.rpartition("/")[0]
    return lines.get(place) if place else None


def lines_of(text: str | bytes) -> dict[str, int]:
    """The line, from 1, of every JSON pointer of a YAML or JSON text; empty where the text cannot be read."""
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        root = yaml.compose(decoded, Loader) if len(decoded) <= MAX_CHARACTERS else None
    except Exception:
        return {}
    found: dict[str, int] = {}
    waiting: list[tuple[str, yaml.Node | None]] = [("", root)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            for name, member in node.value:
                inner = f"{place}/{escaped(str(name.value))}"
                found[inner] = name.start_mark.line + 1
                waiting.append((inner, member))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                found[f"{place}/{index}"] = item.start_mark.line + 1
                waiting.append((f"{place}/{index}", item))
    return found
