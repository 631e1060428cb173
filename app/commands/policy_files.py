"""`baton policy`: checks a file, shows what it says, and compares it with another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from app.policy.condition_words import in_words
from app.policy.diagram import charts, mermaid
from app.policy.differences import differences
from app.policy.document import Policy
from app.policy.drawing import svg
from app.policy.lines import line_of, lines_of
from app.policy.read import problems, read


def check(file: Path) -> int:
    """Prints every fault and warning with its line; returns 1 if there is a fault."""
    text = _bytes(file)
    lines, found = lines_of(text), problems(read(text))
    for fault in found:
        line = line_of(fault.place, lines)
        where = f"line {line}, {fault.place}" if line else fault.place or "/"
        print(f"{fault.kind} at {where}: {fault.code}: {fault.detail}")
    refused = any(fault.kind == "fault" for fault in found)
    print("The document has faults: correct them before it is published." if refused else "The document is sound.")
    return 1 if refused else 0


def diff(earlier: Path, later: Path) -> int:
    """Prints what the second document has other than the first; returns 1 if one of them has faults."""
    old, new = _sound(earlier), _sound(later)
    if old is None or new is None:
        return 1
    found = differences(_document(old), _document(new))
    for one in found:
        print(f"{one.text}  [{one.place}]")
    print(f"{len(found)} differences." if found else "The documents say the same.")
    return 0


def show(file: Path, *, diagram: bool, picture: bool) -> int:
    """Prints what a policy says: in words, as a diagram for Mermaid, or as SVG; returns 1 if it has faults."""
    policy = _sound(file)
    if policy is None:
        return 1
    print(svg(policy) if picture else mermaid(policy) if diagram else summary(policy), end="")
    return 0


def summary(policy: Policy) -> str:
    """The policy in words: actions with who may take them and what they ask for, scores, clocks and routes."""
    lines = [policy.title, f"Signed by: {', '.join(policy.approvals) or 'nobody'}. Review: {policy.review}."]
    for chart in charts(policy):
        lines += ["", f"{chart.title}: {', '.join(place.name for place in chart.places if place.name)}"]
        for arrow in chart.arrows:
            sources = ", ".join(source or "the beginning" for source in arrow.sources)
            lines.append(f"  {arrow.action}: {sources} → {arrow.choice or ', '.join(arrow.targets)}. By {arrow.who}.")
            lines += [f"    requires: {arrow.guard}"] if arrow.guard else []
    document = _document(policy)
    lines += ["", "Conditions"]
    lines += [f"  {name}: {in_words(condition)}" for name, condition in document["conditions"].items()]
    for ledger in ("fit", "engagement"):
        lines += ["", f"Points for {ledger}"]
        lines += [f"  {rule['points']:+d} {rule['id']}: {_counted(rule)}" for rule in document["scoring"][ledger]]
    lines += ["", "Clocks"]
    lines += [f"  {name}: {clock.minutes} minutes, met by {clock.met_by}" for name, clock in policy.clocks.items()]
    return "\n".join([*lines, ""])


def _counted(rule: dict[str, Any]) -> str:
    return in_words(rule["if"]) if "if" in rule else f"each activity {rule['type']}"


def _sound(file: Path) -> Policy | None:
    """The policy of the file; None for one with faults, which are printed."""
    policy = read(_bytes(file))
    if isinstance(policy, Policy):
        return policy
    print(f"{file} has faults:")
    check(file)
    return None


def _document(policy: Policy) -> dict[str, Any]:
    return policy.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
