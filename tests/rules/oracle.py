"""The table of lifecycle.md, section 3, written by hand: the moves that the shipped policies must allow.

Nothing here is derived from the policy documents under test.
"""

from __future__ import annotations

from dataclasses import dataclass

PEOPLE = ("marketing", "sdr", "ae", "manager", "admin")
MACHINES = ("service", "policy", "import")
ORDER = {"suspect": 0, "inquiry": 10, "mql": 20, "sal": 30, "srl": 40, "sql": 50, "converted": 60}


@dataclass(frozen=True)
class Row:
    sources: frozenset[str | None]
    to: str
    who: frozenset[str]


def row(sources: str, to: str, who: str) -> Row:
    names = frozenset(None if name == "-" else name for name in sources.split())
    return Row(names, to, frozenset(who.split()) | ({"admin"} if "manager" in who else set()))


WATERFALL = {
    "capture": row("-", "inquiry", "marketing sdr ae manager service policy import"),
    "engage": row("suspect", "inquiry", "marketing manager policy"),
    "qualify": row("inquiry recycled", "mql", "marketing manager policy"),
    "accept": row("mql", "sal", "sdr manager"),
    "confirm": row("sal", "sql", "ae"),
    "convert": row("sql", "converted", "ae sdr manager"),
    "recycle": row("mql sal sql", "recycled", "sdr ae manager policy"),
    "wake": row("recycled", "=", "policy"),
    "disqualify": row("suspect inquiry mql sal sql recycled", "disqualified", "sdr ae marketing manager policy"),
    "reopen": row("disqualified", "held", "sdr manager"),
    "correct": row("suspect inquiry mql sal sql", "named", "manager"),
    "revert_conversion": row("converted", "held", "manager"),
}
PIPELINE = WATERFALL | {
    "hand_over": row("mql sal", "srl", "sdr manager"),
    "return": row("srl", "sal", "ae manager"),
    "confirm": row("sal srl", "sql", "ae"),
    "convert": row("srl sql", "converted", "ae sdr manager"),
    "recycle": row("mql sal srl sql", "recycled", "sdr ae manager policy"),
    "disqualify": row("suspect inquiry mql sal srl sql recycled", "disqualified", "sdr ae marketing manager policy"),
    "correct": row("suspect inquiry mql sal srl sql", "named", "manager"),
}
TABLES = {"waterfall": WATERFALL, "pipeline": PIPELINE}
STAGES: dict[str, tuple[str | None, ...]] = {
    "waterfall": (
        None,
        "suspect",
        "inquiry",
        "mql",
        "sal",
        "sql",
        "recycled",
        "converted",
        "disqualified",
        "merged",
        "erased",
    ),
    "pipeline": (
        (
            None,
            "suspect",
            "inquiry",
            "mql",
            "sal",
            "srl",
            "sql",
            "recycled",
            "converted",
            "disqualified",
            "merged",
            "erased",
        )
    ),
}
WORDS = sorted({*PIPELINE, "merge_into", "erase"})
OPEN = ("suspect", "inquiry", "mql", "sal", "srl", "sql")

# Milestones by the stage that sets them, in funnel order.
MILESTONES = {"waterfall": ("mql", "sal", "sql"), "pipeline": ("mql", "sal", "srl", "sql")}


def verdict(
    name: str, stage: str | None, action: str, role: str, named: str, held: str | None, captured: str = "inquiry"
) -> str:
    """The stage entered, "=" for a wake, or the error code, if all inputs are given and all guards hold.

    `captured` is the stage a capture enters: suspect if the entry is suspect, else inquiry.
    """
    table = TABLES[name]
    if action not in WORDS:
        return "unknown_action"
    if action not in table:
        return "transition_not_allowed"
    found = table[action]
    to = {"named": named, "held": held, "=": None}.get(found.to, captured if action == "capture" else found.to)
    if stage not in found.sources or to == stage:
        if to == stage and stage is not None:
            return "already_in_stage"
        backward = ORDER.get(to or "", 999) < ORDER.get(stage or "", -1)
        return "backward_move" if backward else "transition_not_allowed"
    if role not in found.who:
        only_people = not found.who & set(MACHINES)
        return "human_required" if role in MACHINES and only_people else "role_not_allowed"
    return to or "="


def allowed(name: str, stage: str | None) -> set[str]:
    return {action for action, found in TABLES[name].items() if stage in found.sources}
