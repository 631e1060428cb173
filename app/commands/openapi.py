"""What is generated from the code and committed: the OpenAPI document and the page of errors. `check` compares both."""

import json
from http import HTTPStatus
from itertools import groupby
from pathlib import Path
from typing import Final

from app.errors import TYPE_ROOT, BadRequest, NotFound, Problem, catalogue
from app.settings import Settings
from app.web.application import create_app

ROOT: Final = Path(__file__).parents[2]
ERRORS_HEAD: Final = f"""\
# Every error of Baton

Generated from `app/errors.py` by `python3 -m app openapi`; do not edit.

An answer that is not 2xx is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, `code`,
`errors` and what stands under *further members* below. `code` is stable: decide by it, never by `detail`. `errors`
names each field that is not right, as `{{"field", "code", "detail"}}`. `type` is `{TYPE_ROOT}` and the code.

After a 4xx nothing was changed. After a 5xx, a time-out or no answer send the same request with the same
`Idempotency-Key`, at any time within seven days: it takes effect once. Where `Retry-After` is given, wait that long.
"""
MEMBERS: Final = {
    "scope_missing": "`scope`: the one that is missing",
    "role_not_allowed": "`role`, and `roles` that may",
    "transition_not_allowed": "`allowed_actions`: those with an edge from the stage, whoever asks; `use`: the endpoint",
    "already_in_stage": "`allowed_actions`",
    "backward_move": "`allowed_actions`",
    "reason_required": "`reasons`: the codes to choose from",
    "unknown_reason": "`reasons`: the codes to choose from",
    "input_required": "`field`: the one that is missing",
    "out_of_order": "`earliest`, `latest`",
    "criteria_unmet": "`unmet`: what is missing, each with `criterion`, `have` and `need`",
    "lead_already_converted": "`conversion`: the one that exists",
    "ambiguous_match": "`candidates`: the records it may be, each with `type`, `id`, `display`, `match_keys`, `score`",
    "already_exists": "`candidates`: the record that holds the key",
    "lead_merged": "`merged_into`: the lead that goes on",
    "version_conflict": "`version`: the current one",
}


def generated() -> dict[Path, str]:
    """Each generated file with its text, the same on every machine: no setting of this one goes in."""
    return {ROOT / "openapi" / "openapi.json": document(), ROOT / "docs" / "errors.md": errors_page()}


def document() -> str:
    """The text of the OpenAPI document."""
    made = create_app(Settings.model_construct()).openapi()
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def errors_page() -> str:
    """The text of docs/errors.md: every code by its status."""
    answered = (each for each in catalogue() if not each.__subclasses__() or each in (BadRequest, NotFound))
    page = ERRORS_HEAD
    for status, problems in groupby(sorted(answered, key=_place), key=lambda problem: problem.status):
        page += f"\n## {status} {HTTPStatus(status).phrase}\n\n| code | means | further members |\n|---|---|---|\n"
        for problem in problems:
            wait = f" `Retry-After: {problem.retry_after}`." if problem.retry_after is not None else ""
            page += f"| `{problem.code}` | {problem.title()}{wait} | {MEMBERS.get(problem.code, '')} |\n"
    return page


def _place(problem: type[Problem]) -> tuple[int, str]:
    return problem.status, problem.code
