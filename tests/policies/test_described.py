"""The differences, the diagram, the schema and the warnings of policies over HTTP, and `baton policy`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest

from app import ids
from app.policy.differences import differences
from app.policy.document import Policy
from app.policy.shipped import shipped, text
from tests.api import Api
from tests.commands.test_administration import ROOT, baton
from tests.contract.world import second_tenant
from tests.rules.make import altered, document
from tests.rules.test_check import put

ANY_ID = ids.show("policy", UUID(int=7))


async def published(api: Api, policy: Policy) -> str:
    """The id of the policy, which becomes the active one."""
    await api.publish(policy)
    return str((await api.get("/v1/policies/active"))["id"])


def threshold(points: int) -> Policy:
    return altered(shipped("waterfall"), put("/conditions/mql/any/0/all/0/fit/at_least", points))


async def test_a_policy_is_compared_with_another_version_in_words(api: Api) -> None:
    first = (await api.get("/v1/policies/active"))["id"]
    second = await published(api, threshold(50))
    told = await api.get(f"/v1/policies/{second}/diff?against={first}")
    assert told["changes"] == [
        {
            "place": "/conditions/mql/any/0/all/0/fit/at_least",
            "old": 40,
            "new": 50,
            "text": "MQL threshold for fit 40 → 50",
        }
    ]
    assert (told["policy"]["id"], told["against"]["id"]) == (second, first)
    assert (await api.get(f"/v1/policies/{first}/diff?against={second}"))["changes"][0]["text"].endswith("50 → 40")
    assert (await api.get(f"/v1/policies/{first}/diff?against={first}"))["changes"] == []
    assert await api.get(f"/v1/policies/{first}/diff") == await api.get(f"/v1/policies/{first}/diff?against={second}")


async def test_the_differences_of_the_shipped_policies_are_those_of_their_documents(api: Api) -> None:
    first = (await api.get("/v1/policies/active"))["id"]
    second = await published(api, shipped("pipeline"))
    told = await api.get(f"/v1/policies/{second}/diff?against={first}")
    expected = differences(document(shipped("waterfall")), document(shipped("pipeline")))
    assert {one["text"] for one in told["changes"]} == {one.text for one in expected}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?against=", 422, "request_invalid"),
        ("?against=nonsense", 422, "request_invalid"),
        (f"?against={ANY_ID}", 404, "policy_not_found"),
        (f"?against={ANY_ID}&agianst=1", 422, "request_invalid"),
    ],
)
async def test_a_comparison_with_no_policy_is_refused(api: Api, query: str, status: int, code: str) -> None:
    active = (await api.get("/v1/policies/active"))["id"]
    answer = await api.call("GET", f"/v1/policies/{active}/diff{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_the_policies_of_another_tenant_are_not_found(api: Api) -> None:
    other = await second_tenant(api)
    mine, theirs = [(await one.get("/v1/policies/active"))["id"] for one in (api, other)]
    for path in (f"{theirs}/diagram", f"{theirs}/diff?against={mine}", f"{mine}/diff?against={theirs}"):
        assert (await api.call("GET", f"/v1/policies/{path}")).status_code == 404


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "image/svg+xml"),
        ("*/*", "image/svg+xml"),
        ("image/*", "image/svg+xml"),
        ("text/vnd.mermaid", "text/vnd.mermaid"),
        ("TEXT/*", "text/vnd.mermaid"),
        ("image/svg+xml;q=0.5, text/vnd.mermaid", "text/vnd.mermaid"),
        ("text/html, image/avif, image/webp, */*;q=0.8", "image/svg+xml"),
        ("*/*, image/svg+xml;q=0", "text/vnd.mermaid"),
        ("application/json", None),
        ("image/png;q=1, text/html", None),
        ("image/svg+xml;q=0", None),
        ("image/svg+xml;q=nonsense", None),
    ],
)
async def test_the_accept_header_decides_the_form_of_a_diagram(api: Api, accept: str | None, kind: str | None) -> None:
    active = (await api.get("/v1/policies/active"))["id"]
    headers = {} if accept is None else {"Accept": accept}
    answer = await api.call("GET", f"/v1/policies/{active}/diagram", headers=headers)
    if kind is None:
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
        assert "image/svg+xml or text/vnd.mermaid" in answer.json()["detail"]
    else:
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == kind
        assert answer.text.startswith("<svg" if kind == "image/svg+xml" else "stateDiagram-v2")
        assert "revert_conversion" in answer.text


async def test_the_schema_is_served_and_the_active_document_is_valid_by_it(api: Api) -> None:
    answer = await api.call("GET", "/v1/policies/schema")
    assert answer.headers["content-type"] == "application/schema+json"
    validator = jsonschema_rs.validator_for(answer.json())
    assert validator.is_valid((await api.get("/v1/policies/active"))["document"])


async def test_a_policy_shows_its_warnings(api: Api) -> None:
    assert (await api.get("/v1/policies/active"))["warnings"] == []
    weak = altered(
        shipped("waterfall"), put("/conditions/mql", {"activity": {"types": ["demo_requst"], "within_days": 30}})
    )
    warned = await api.get(f"/v1/policies/{await published(api, weak)}")
    assert [(one["code"], one["place"]) for one in warned["warnings"]] == [
        ("unknown_activity_type", "/conditions/mql/activity/types/0"),
        ("weak_rule", "/actions/2/guard"),
    ]


async def test_a_policy_of_an_earlier_release_shows_what_is_checked_since(api: Api) -> None:
    unsound: dict[str, Any] = document(shipped("waterfall"))
    put("/conditions/odd", {"fit": {"at_least": 1000}})(unsound)
    made = await published(api, Policy.model_validate_json(json.dumps(unsound)))
    shown = await api.get(f"/v1/policies/{made}")
    assert [one["code"] for one in shown["warnings"]] == ["never_true"]
    refused = await api.call("GET", f"/v1/policies/{made}/diagram")
    (fault,) = refused.json()["errors"]
    assert (refused.status_code, fault["field"], fault["place"]) == (422, "conditions.odd", "/conditions/odd")


async def test_commands_check_compare_and_show_policies(api: Api, tmp_path: Path) -> None:
    folder = ROOT / "app" / "policy" / "defaults"
    first, second, wrong = folder / "waterfall.yaml", folder / "pipeline.yaml", tmp_path / "wrong.yaml"
    written = text("waterfall").replace("kind: open, order: 20", "kind: ajar, order: 20")
    wrong.write_text(written)
    line = next(n for n, row in enumerate(written.splitlines(), 1) if "ajar" in row)
    assert f"line {line}, /stages/2/kind" in await baton(api, "policy", "check", str(wrong), status=1)
    assert "Stage srl is new  [/stages/4]" in await baton(api, "policy", "diff", str(first), str(second))
    assert "The documents say the same." in await baton(api, "policy", "diff", str(first), str(first))
    assert "/stages/2/kind" in await baton(api, "policy", "diff", str(first), str(wrong), status=1)
    shown = await baton(api, "policy", "show", str(first))
    assert "accept: mql → sal. By sdr, manager." in shown
    assert "mql: (fit at least 40 and engagement at least 30) or" in shown
    assert "stateDiagram-v2" in await baton(api, "policy", "show", str(first), "--diagram")
    assert "</svg>" in await baton(api, "policy", "show", str(first), "--svg")
    body = json.loads(await baton(api, "policy", "show", str(first), "--json"))
    assert (await api.call("POST", "/v1/policies", body)).status_code == 201
    assert "/stages/2/kind" in await baton(api, "policy", "show", str(wrong), status=1)
    assert "cannot be read" in await baton(api, "policy", "show", str(tmp_path), status=2)
