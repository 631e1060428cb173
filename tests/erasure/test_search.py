"""Nothing that names an erased person is found in any column of any table, and the numbers stay."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from app.database.binaries import binaries, runner_for
from app.events.sequence import sequence
from tests.api import Api
from tests.conversion.steps import BANT, GOOD, convert, moved
from tests.database.test_requirements import run_command
from tests.erasure.people import erase, reports, where
from tests.events.published import faults_of
from tests.imports.lists import make_lists, process_lists, table
from tests.leads.test_included import stand_still
from tests.merging.steps import faults, merged
from tests.submissions.sender import make_sender

PEOPLE = 100
KEYED = {"Idempotency-Key": "made-1"}


class Person:
    """Somebody whose name, addresses, number and handle stand nowhere else."""

    def __init__(self, n: int) -> None:
        self.first, self.last = f"Zoltan{n}q", f"Quarzby{n}q"
        self.email, self.second = f"zq{n}@quarz{n}.example", f"second{n}@quarz{n}.example"
        self.phone, self.handle = f"+4072155{n:04}", f"handle-{n}-zq"

    @property
    def fields(self) -> dict[str, Any]:
        name = f"{self.first} {self.last}"
        return {"email": self.email, "phone": self.phone, "first_name": self.first, "full_name": name, "country": "RO"}

    @property
    def needles(self) -> list[str]:
        digits = self.phone.removeprefix("+40")
        return [self.first, self.last, f"{self.email.partition('@')[0]}@", self.second, digits, self.handle]


async def whole_life(api: Api, person: Person, people: dict[str, str]) -> dict[str, Any]:
    """A lead with every trace that a person leaves: forms, lists, notes, a merge, a conversion and stored answers."""
    sender, lists = await make_sender(api), await make_lists(api)
    form = {**person.fields, "message": f"Call {person.first}", "answer": f"I am {person.last}", **GOOD}
    lead_id = (await sender.post_and_process(form))["items"][0]["lead_id"]
    other = {"email": person.second, "full_name": f"{person.first} {person.last}", "company": person.last}
    twin = {"id": (await sender.post_and_process(other))["items"][0]["lead_id"]}
    await sender.post_and_process('{"broken": "' + person.email)
    await lists.post(table(("email", "full_name", "phone"), (person.email, person.last, person.phone), ("x", "y", "")))
    await process_lists(api)
    lead = await api.reload({"id": lead_id})
    headers = {"Idempotency-Key": f"key-{person.email}"}
    path = f"/v1/leads/{lead_id}/activities"
    demo = {"type": "demo_request", "activity_key": f"demo {person.email}", "properties": {"of": person.first}}
    await api.post(path, demo, headers=headers)
    ids = {"external_ids": {"social": person.handle}, "fields": {"email": person.email}}
    await api.post("/v1/leads", ids, status=200, headers={"Idempotency-Key": f"again-{person.handle}"})
    patched = {"fields": {"last_name": person.last, "message": person.handle}, "custom": {"note": person.first}}
    assert (await api.call("PATCH", f"/v1/leads/{lead_id}", patched)).status_code == 200
    given = [{"purpose": "email_marketing", "state": "given", "text": f"I, {person.first}, agree"}]
    assert (await api.call("PUT", f"/v1/leads/{lead_id}/consents", {"consents": given})).status_code == 200
    why = {"reason": f"{person.first} is a friend"}
    answer = await api.call("PUT", f"/v1/leads/{lead_id}/exception", why, actor=people["manager"])
    assert answer.status_code == 200, answer.text
    await merged(api, twin, lead, people["manager"])
    await moved(api, lead, "accept", people["manager"], note=f"called {person.first}")
    said = {name: {**one, "evidence": f"{person.first} said so"} for name, one in BANT.items()}
    await moved(api, lead, "confirm", people["ae"], bant=said)
    order = {"opportunity": {"name": f"Deal with {person.last}"}, "account": {"mode": "create"}}
    made = await convert(api, lead, people["ae"], order)
    assert made.status_code == 201, made.text
    deal = made.json()["conversion"]["opportunity"]["id"]
    step = {"action": "advance", "to": "proposal", "note": f"sent to {person.first}"}
    await api.call("POST", f"/v1/opportunities/{deal}/transitions", step, actor=people["ae"])
    again = {"name": f"Again {person.last}", "contact_id": made.json()["conversion"]["contact"]["id"]}
    await api.post("/v1/opportunities", again, headers={"Idempotency-Key": f"deal-{person.handle}"})
    dry = {"body": form, "headers": {"content-type": "application/json"}}
    await api.call(
        "POST", f"/v1/sources/{sender.source['id']}/dry-run", dry, headers={"Idempotency-Key": f"d{lead_id}"}
    )
    return await api.reload(lead)


def dumped(dsn: str) -> str:
    """The database as pg_dump writes it, in lower case; the bytes of columns as hexadecimal digits."""
    for programs in binaries(runner_for(Path("no such folder")), lambda _: None):  # of nobody, so anybody may
        if Path(programs["pg_dump"]).is_file():
            return subprocess.run(
                [programs["pg_dump"], f"--dbname={dsn}"], check=True, capture_output=True, text=True
            ).stdout.lower()
    raise AssertionError("there is no pg_dump")


def named_in(dump: str, needles: list[str]) -> list[str]:
    return [one for one in needles if one.lower() in dump or one.encode().hex() in dump]


async def test_nothing_of_a_hundred_erased_people_is_found_anywhere_and_the_numbers_stay(
    api: Api, dsn: str, url: str
) -> None:
    people = {role: await api.user(role) for role in ("manager", "ae", "sdr")}
    erased = [Person(n) for n in range(PEOPLE)]
    stays = Person(PEOPLE)
    leads = [await whole_life(api, person, people) for person in erased[:3]]
    leads += [await api.lead(**person.fields) for person in erased[3:]]
    kept = await whole_life(api, stays, people)
    stand_still(api)
    before, needles = await reports(api), [needle for person in erased for needle in person.needles]
    assert {one.partition(".")[0] for one in await where(api, needles)} >= {
        *("leads", "identities", "submissions", "submission_items", "activities", "transitions", "bant"),
        *("contacts", "accounts", "opportunities", "opportunity_transitions", "lead_merges"),
        *("idempotency_keys", "lead_changes", "consents", "lead_words"),
    }
    for lead in leads:
        await erase(api, lead)
    assert await where(api, needles) == []
    dump = await asyncio.to_thread(dumped, dsn)
    assert named_in(dump, needles) == []
    assert set(named_in(dump, stays.needles)) == set(stays.needles), "it has the bodies of who was not erased"
    assert (await run_command("verify", url))[0] == 0
    assert await reports(api) == before
    assert await faults(api) == []
    assert await where(api, [stays.email, stays.phone.removeprefix("+40")]) != []
    assert (await api.reload(kept))["fields"]["email"] == stays.email
    await sequence(api.app.state.engine)
    told = (await api.get("/v1/events", params={"after": "earliest", "limit": 1000, "lead_id": leads[0]["id"]}))["data"]
    assert [fault for one in told for fault in faults_of(one)] == [], "what is left of an event is as it is published"
    assert all(one["data"]["erased"] for one in told if one["type"] != "lead.erased")
    assert [one["data"] for one in told if one["type"] == "lead.erased"] == [{"lead_id": leads[0]["id"]}]
