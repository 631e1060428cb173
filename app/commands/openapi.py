"""Generates the OpenAPI and AsyncAPI documents, the schema of policies and docs/errors.md; `check` compares them."""

import json
import tomllib
from itertools import groupby
from pathlib import Path
from typing import Final

from app.errors import BadRequest, NotFound
from app.exports.sections import json_schema as export_schema
from app.policy.codes import TABLE as CODES
from app.policy.json_schema import json_schema
from app.problem import TYPE_ROOT, Problem, catalogue
from app.settings import Settings
from app.web.application import create_app
from app.web.asyncapi import asyncapi

ROOT: Final = Path(__file__).parents[2]
ERRORS_HEAD: Final = f"""\
# Every error of Baton

Generated from `app/errors.py` by `python3 -m app openapi`; do not edit.

A response that is not 2xx is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, `code`,
`errors` and the *further members* listed below. `code` is stable: decide by it, never by `detail`. `type` is
`{TYPE_ROOT}` and the code, with hyphens in place of `_`. `errors` lists each invalid field, as
`{{"field", "code", "detail"}}`; its codes are [at the end](#codes-in-errors).

After a 4xx nothing was changed. After a 5xx, a timeout or no response, repeat the same request with the same
`Idempotency-Key` within seven days: it takes effect once. If `Retry-After` is given, wait that long first.
"""
FIELDS_HEAD: Final = """
## Codes in `errors`

`code` of an entry of `errors` is one of those below, or that of the whole problem. All of them are stable. The first
table has those of values of a wrong form, in any body, parameter or document. Of these, a policy's faults have only
`missing`, `unknown_member`, `unknown_word` and `invalid`, which stands for the others.

| code | means |
|---|---|
"""
PARTS: Final = {
    "requests": "Rules of requests",
    "policies": "Rules of policies, conditions and filters",
    "sources": "Rules of sources",
    "lists": "Rules of lists of people",
}
# RFC 9110, section 15. The names in Python's http module differ from release to release.
STATUS_NAMES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    507: "Insufficient Storage",
}
MEMBERS: Final = {
    "scope_missing": "`scope`: the missing scope",
    "role_not_allowed": "`role` of the actor; `roles` that may take the action",
    "transition_not_allowed": "`allowed_actions`: those of the stage, whoever asks; `use`: the endpoint for it",
    "backtest_limit_reached": "`limit`: how many may be unfinished",
    "consumer_limit_reached": "`limit`: how many there may be",
    "already_acknowledged": "`cursor` of the consumer",
    "already_in_stage": "`allowed_actions`",
    "backward_move": "`allowed_actions`",
    "position_expired": "`first_position`: the first one of which the event is kept",
    "reason_required": "`reasons`: the codes to choose from",
    "unknown_reason": "`reasons`: the codes to choose from",
    "input_required": "`field`: the missing field",
    "out_of_order": "`earliest`, `latest`",
    "criteria_unmet": "`unmet`: what is missing, each with `criterion`, `have` and `need`",
    "lead_already_converted": "`conversion`: the existing conversion",
    "conversion_reverted": "`conversion_id`, `reverted_at`",
    "revert_blocked": "`left_in_place`: each with `type`, `id`, `why` and, where it is about some of them, `fields`",
    "ambiguous_match": "`candidates`: possible matches, each with `type`, `id`, `display`, `match_keys`, `score`",
    "already_exists": "`candidates`: the record that holds the key",
    "lead_merged": "`merged_into`: the lead that remains",
    "approvals_missing": "`missing`: the sides, `marketing` or `sales`",
    "already_approved": "`side` that has approved, and `user_id` by whom",
    "mapping_required": "`stages`: each `stage` that the policy lacks, with the number of `journeys` in it",
    "policy_has_faults": "`errors`: each fault with its `place`, a JSON pointer into the document",
    "cursor_expired": "`earliest`: the value of `after` to read on with",
    "log_diverged": "`last_event_at`: the instant to read on from, so that nothing is missed, or null; `earliest`",
    "rate_limited": "`limit`: the name of the limit; `quota`: the part of it that one process grants",
    "version_conflict": "`version`: the current one",
}


def generated() -> dict[Path, str]:
    """Each generated file with its text; local settings are ignored, so it is the same on every machine."""
    made = create_app(Settings.model_construct()).openapi()
    return {
        ROOT / "openapi" / "openapi.json": json.dumps(made, indent=1, ensure_ascii=False) + "\n",
        ROOT / "openapi" / "asyncapi.json": json.dumps(asyncapi(made), indent=1, ensure_ascii=False) + "\n",
        ROOT / "openapi" / "policy.schema.json": json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n",
        ROOT / "openapi" / "export.schema.json": json.dumps(export_schema(), indent=1, ensure_ascii=False) + "\n",
        ROOT / "docs" / "errors.md": errors_page(),
    }


def errors_page() -> str:
    """The text of docs/errors.md: every code, grouped by status."""
    shown = (each for each in catalogue() if not each.__subclasses__() or each in (BadRequest, NotFound))
    page = ERRORS_HEAD
    for status, problems in groupby(sorted(shown, key=_status_and_code), key=lambda problem: problem.status):
        page += f"\n## {status} {STATUS_NAMES[status]}\n\n| code | means | further members |\n|---|---|---|\n"
        for problem in problems:
            wait = f" `Retry-After: {problem.retry_after}`." if problem.retry_after is not None else ""
            page += f"| `{problem.code}` | {problem.title()}{wait} | {MEMBERS.get(problem.code, '')} |\n"
    page += FIELDS_HEAD + _rows({code: meaning for code, meaning, _ in CODES})
    for part, codes in field_codes().items():
        page += f"\n### {PARTS[part]}\n\n| code | means |\n|---|---|\n{_rows(codes)}"
    return page


def field_codes() -> dict[str, dict[str, str]]:
    """The codes of single rules with their meaning, by the part of the page in which they stand."""
    return tomllib.loads(Path(__file__).with_name("field_codes.toml").read_text("utf-8"))


def _rows(codes: dict[str, str]) -> str:
    return "".join(f"| `{code}` | {meaning} |\n" for code, meaning in codes.items())


def _status_and_code(problem: type[Problem]) -> tuple[int, str]:
    return problem.status, problem.code
