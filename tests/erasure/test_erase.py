"""A person is erased, and answers 410 from then on."""

from __future__ import annotations

from app.web.routes import methods_by_path
from tests.api import Api
from tests.erasure.people import REASON, erase, where


async def test_an_erased_lead_is_gone_at_every_door(api: Api) -> None:
    lead = await api.mql(email="ada.lovelace@engine.example", full_name="Ada Lovelace", phone="+40721555123")
    erased = await erase(api, lead)
    assert erased["lead_ids"] == [lead["id"]]
    routes = methods_by_path().items()
    paths = [path for path, methods in routes if path.startswith("/v1/leads/{lead_id}") and "GET" in methods]
    paths.remove("/v1/leads/{lead_id}/erasure")
    answers = {path: await api.call("GET", path.replace("{lead_id}", lead["id"])) for path in paths}
    assert {path: (one.status_code, one.json().get("code")) for path, one in answers.items()} == dict.fromkeys(
        paths, (410, "erased")
    )
    assert (await api.ask(lead, "accept")).status_code == 410
    again = await api.call("POST", f"/v1/leads/{lead['id']}/erasure", {"reason": "other"})
    assert (again.status_code, again.json()["erased_at"], again.json()["reason"]) == (
        202,
        erased["erased_at"],
        REASON["reason"],
    )
    assert await where(api, ["ada.lovelace", "ada lovelace", "721555123", "engine.example"]) == []
