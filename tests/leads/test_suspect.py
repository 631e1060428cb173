"""People on a bought list become suspects; only interest makes them inquiries."""

from __future__ import annotations

import pytest

from tests.api import Api


async def test_a_suspect_becomes_an_inquiry_by_interest_only(api: Api) -> None:
    body = {"name": "List of a fair", "preset": "generic", "defaults": {"entry": "suspect"}}
    source = await api.post("/v1/sources", body)
    lead = await api.post("/v1/leads", {"fields": {"email": "s@example.com"}, "source_id": source["id"]})
    assert lead["stage"] == "suspect"
    await api.add_activity(lead, "call", kind="contact_attempt")
    assert (await api.reload(lead))["stage"] == "suspect"
    await api.add_activity(lead, "webinar")
    assert (await api.reload(lead))["stage"] == "inquiry"
    assert await api.steps(lead) == [(None, "suspect"), ("suspect", "inquiry")]


@pytest.mark.parametrize("said", ["refused", "withdrawn"])
async def test_a_bought_list_overrides_nobodys_own_refusal(api: Api, said: str) -> None:
    source = await api.post("/v1/sources", {"name": "list", "preset": "generic", "defaults": {"entry": "suspect"}})
    lead = await api.lead(email="s@example.com")
    own = {"consents": [{"purpose": "email_marketing", "state": said}]}
    assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", own)).status_code == 200
    bought = [{"purpose": purpose, "state": "given"} for purpose in ("email_marketing", "phone")]
    listed = {"fields": {"email": "s@example.com"}, "source_id": source["id"], "consents": bought}
    again = await api.post("/v1/leads", listed, status=200)
    assert again["consents"] == {"email_marketing": said, "phone": "given"}
