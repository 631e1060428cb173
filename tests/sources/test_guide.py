"""docs/adding-a-provider.md, followed step by step: each request on the page is sent, and answered as it says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jmespath.functions import Functions

from app.sources.document import Document, secrets_of
from app.sources.functions import MappingFunctions
from app.sources.preset import make_document, preset_names
from tests.api import Api
from tests.submissions.sender import process

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-provider.md").read_text("utf-8")
STEP = re.compile(
    r"^`(?P<method>[A-Z]+) (?P<path>/\S+)`[^\n]*\n(?:```(?P<kind>json|text)\n(?P<body>.*?)\n```\n)?\n?"
    r"Answer (?P<status>\d+):\n```json\n(?P<answer>.*?)\n```$",
    re.DOTALL | re.MULTILINE,
)


def test_the_page_has_all_its_steps() -> None:
    assert len(STEP.findall(PAGE)) == len(re.findall(r"^Answer \d+:$", PAGE, re.MULTILINE)) == 9


async def test_a_provider_that_is_not_shipped_is_added_by_following_the_page(api: Api) -> None:
    known: dict[str, str] = {}
    for step in STEP.finditer(PAGE):
        path = step["path"].format(**known)
        if step["kind"] == "text":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = await api.client.post(path, content=step["body"], headers=form)
            await process(api)
        else:
            answer = await api.call(step["method"], path, json.loads(step["body"]) if step["body"] else None)
        assert answer.status_code == int(step["status"]), answer.text
        said = answer.json()
        if path == "/v1/sources":
            known |= {"source_id": said["id"], "key": said["key"]}
        if "submission" in said:
            known["submission_id"] = said["submission"]["id"]
        assert missing(json.loads(step["answer"]), said, step["path"]) == []
    assert "shared-key" not in json.dumps(await api.get(f"/v1/submissions/{known['submission_id']}/raw"))


def missing(wanted: Any, found: Any, place: str) -> list[str]:
    """Where an answer differs from the part of it that the page shows."""
    if isinstance(wanted, dict) and isinstance(found, dict) and wanted:
        return [fault for name, value in wanted.items() for fault in missing(value, found.get(name), f"{place} {name}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = zip(wanted, found, strict=True)
        return [fault for n, (one, other) in enumerate(pairs) for fault in missing(one, other, f"{place} {n}")]
    return [] if wanted == found else [f"{place}: {found!r}, not {wanted!r}"]


def test_a_difference_is_found() -> None:
    assert missing({"a": [{"b": 1}]}, {"a": [{"b": 2}], "c": 3}, "x") == ["x a 0 b: 2, not 1"]
    assert missing({"a": []}, {"a": [1]}, "x")
    assert missing({"a": 1}, {}, "x")


@pytest.mark.parametrize("name", sorted(set(MappingFunctions.FUNCTION_TABLE) - set(Functions.FUNCTION_TABLE)))
def test_the_page_names_the_functions_that_are_not_jmespaths(name: str) -> None:
    assert f"{name}(" in PAGE


@pytest.mark.parametrize("name", sorted({field.alias or name for name, field in Document.model_fields.items()}))
def test_the_page_names_each_member_of_the_document(name: str) -> None:
    assert name in {"preset", "title", "schema"} or re.search(rf"[`\"]{name}[`\"]", PAGE)


@pytest.mark.parametrize("name", preset_names())
def test_the_page_names_each_preset_with_the_secrets_that_it_uses(name: str) -> None:
    document = make_document(name, {})
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | {document.title} |"))
    secrets = secrets_of(document, {rule.secret for rule in document.verify})
    assert set(re.findall(r"`(signing|token|basic|verify_token|access_token|api_token)`", row)) >= secrets
    assert ("if you set one" in row) is (document.open_without_secrets and bool(document.verify))
