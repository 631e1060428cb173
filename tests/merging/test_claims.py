"""What a bought list claims of a person stays a claim when leads are merged."""

from __future__ import annotations

from tests.api import Api
from tests.merging.steps import merged


async def test_an_older_refusal_of_the_person_counts_before_a_claim_after_a_merge_too(api: Api) -> None:
    listed = await api.post("/v1/sources", {"name": "list", "preset": "generic", "defaults": {"entry": "suspect"}})
    claim = [{"purpose": "email_marketing", "state": "given"}]
    body = {"fields": {"email": "ana@list.example"}, "source_id": listed["id"], "consents": claim}
    kept, gone = await api.lead(email="ana@other.example"), await api.post("/v1/leads", body)
    await merged(api, gone, kept)
    assert (await api.reload(kept))["consents"] == {"email_marketing": "given"}
    refusal = {
        "fields": {"email": "ana@list.example"},
        "consents": [{"purpose": "email_marketing", "state": "refused"}],
    }
    lead = await api.post("/v1/leads", {**refusal, "occurred_at": api.ago(days=5)}, status=200)
    assert lead["consents"] == {"email_marketing": "refused"}
