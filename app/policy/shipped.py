"""The two policies shipped with the service, each parsed once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

from app.policy.document import Policy
from app.policy.read import read

Shipped = Literal["waterfall", "pipeline"]
NAMES: tuple[Shipped, ...] = ("waterfall", "pipeline")


def text(name: Shipped) -> str:
    """The text of the YAML document, comments included."""
    return files("app.policy").joinpath("defaults", f"{name}.yaml").read_text("utf-8")


@cache
def shipped(name: Shipped) -> Policy:
    """The policy of that name."""
    policy = read(text(name))
    if isinstance(policy, list):
        raise ValueError(f"the shipped policy {name} has faults: {policy}")
    return policy
