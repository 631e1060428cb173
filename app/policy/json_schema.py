"""The JSON Schema of a policy document, by which editors complete names and mark mistakes while one writes.

It describes the form only. What the parts of a document mean together is checked by `app.policy.check`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from app.policy.document import Policy


@cache
def json_schema() -> dict[str, Any]:
    """The schema, in the dialect 2020-12."""
    schema = Policy.model_json_schema(by_alias=True)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Baton policy"}
    return {**schema, **head, "description": "A lifecycle policy of Baton: see docs/policies.md."}
