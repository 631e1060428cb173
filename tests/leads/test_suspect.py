"""People on a bought list become suspects; only interest makes them inquiries."""

from __future__ import annotations

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
