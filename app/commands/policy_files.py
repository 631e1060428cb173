"""`baton policy`: checks a file, shows what it says, and compares it with another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from app.commands.output import print_document
from app.policy.diagram import mermaid
from app.policy.differences import differences
from app.policy.document import Policy
from app.policy.drawing import svg
from app.policy.lines import line_of, lines_of
from app.policy.read import MAX_CHARACTERS, problems, read
from app.policy.summary import summary


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


def show(file: Path, *, diagram: bool, picture: bool, body: bool) -> int:
    """Prints what a policy says: in words, as a diagram for Mermaid, as SVG, or as the JSON that the API takes.

    Returns 1 if it has faults.
    """
    policy = _sound(file)
    if policy is None:
        return 1
    if body:
        print_document(json.dumps(_document(policy), ensure_ascii=False, indent=1))
    elif picture or diagram:
        print_document(svg(policy) if picture else mermaid(policy))
    else:
        print(in_text(policy), end="")
    return 0


def in_text(policy: Policy) -> str:
    """The policy in words: actions with who may take them and what they ask for, scores and clocks."""
    lines = [policy.title, f"Signed by: {', '.join(policy.approvals) or 'nobody'}. Review: {policy.review}."]
    for section in summary(policy):
        lines += ["", section.title]
        for line in section.lines:
            lines += [f"  {line.name}: {line.text}"] + [f"    requires: {line.requires}"] * bool(line.requires)
    return "\n".join([*lines, ""])


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
    """What the file holds, as far as a policy can be long. Raises BadParameter for one that cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(4 * MAX_CHARACTERS + 1)  # a character takes 4 bytes at most: what is larger is refused
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
