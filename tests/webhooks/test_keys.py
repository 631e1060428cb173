"""The keys of a subscription over HTTP: ed25519 beside the shared secret, rotation with a grace, keys of one's own."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from sqlalchemy import text

from tests.api import Api
from tests.webhooks.conftest import RETRIES, Got, inbox, verifies

PATH = "/v1/subscriptions"
LIMITS = {"retry_schedule": RETRIES}
DAY = 86_400


async def created(api: Api, url: str = "http://127.0.0.1:9/hook", **members: Any) -> dict[str, Any]:
    return dict(await api.post(PATH, {"url": url, "limits": LIMITS, **members}))


async def rotated(api: Api, made: dict[str, Any], **body: Any) -> dict[str, Any]:
    return dict(await api.post(f"{PATH}/{made['id']}/secret", body, status=200))


async def refused(api: Api, made: dict[str, Any], **body: Any) -> tuple[str, str]:
    """The field and code of the only error."""
    answer = await api.call("POST", f"{PATH}/{made['id']}/secret", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid"), answer.text
    [error] = answer.json()["errors"]
    return error["field"], error["code"]


def public_keys(shown: dict[str, Any]) -> list[str]:
    return [key["public_key"] for key in shown["signing_keys"] if key["kind"] == "v1a"]


def kinds(got: Got) -> list[str]:
    return [one.partition(",")[0] for one in got.headers["webhook-signature"].split(" ")]


def own(prefix: str, size: int) -> str:
    return prefix + base64.b64encode(bytes(range(size))).decode()


async def test_a_subscription_has_no_ed25519_key_unless_it_asks_for_one(api: Api) -> None:
    made = await created(api)
    assert made["ed25519"] is False
    [key] = made["signing_keys"]
    assert (key["kind"], key["public_key"], key["expires_at"]) == ("v1", None, None)


async def test_each_key_has_an_id_and_an_age_and_one_of_an_older_release_has_none(api: Api) -> None:
    made = await created(api)
    [first] = made["signing_keys"]
    assert first["id"] == hashlib.sha256(made["secret"].encode()).hexdigest()[:12]
    assert first["created_at"] == made["created_at"]
    new = await rotated(api, made, grace_seconds=60)
    ids = [key["id"] for key in new["signing_keys"]]
    assert ids == [hashlib.sha256(one["secret"].encode()).hexdigest()[:12] for one in (new, made)]
    assert new["signing_keys"][1]["created_at"] == first["created_at"]
    async with api.app.state.engine.begin() as tx:
        without = "jsonb_agg(one - 'id' - 'created_at')"
        await tx.driver.execute(
            f"UPDATE subscriptions SET secrets = (SELECT {without}::text FROM jsonb_array_elements(secrets::jsonb) one)"
        )
    old = await api.get(f"{PATH}/{made['id']}")
    assert [(key["id"], key["created_at"]) for key in old["signing_keys"]] == [(None, None)] * 2


async def test_the_public_key_is_shown_and_the_private_one_never(api: Api) -> None:
    made = await created(api, ed25519=True)
    [public] = public_keys(made)
    assert public.startswith("whpk_")
    assert len(base64.b64decode(public.removeprefix("whpk_"))) == 32
    shown = await api.get(f"{PATH}/{made['id']}")
    assert (shown["ed25519"], public_keys(shown)) == (True, [public])
    assert public_keys((await api.get(PATH))["data"][0]) == [public]
    async with api.app.state.engine.connect() as tx:
        row = (await tx.execute(text("SELECT subscriptions::text AS whole FROM subscriptions"))).one()
    again = await rotated(api, made, kind="v1a")
    assert again["secret"] is None
    assert "whsk_" not in str(made) + str(shown) + str(again) + row.whole


async def test_every_request_of_a_rotation_carries_all_valid_signatures_and_so_does_a_retry(delivering: Api) -> None:
    api, refusing = delivering, [True]
    async with inbox(lambda _: 404 if refusing else 204) as box:
        made = await created(api, box.url, ed25519=True)
        first = [made["secret"], *public_keys(made)]
        await api.lead()
        await box.until(lambda box: bool(box.got))
        assert kinds(box.got[0]) == ["v1", "v1a"]
        later = await rotated(api, made)
        later = {**await rotated(api, made, kind="v1a", grace_seconds=7 * DAY), "secret": later["secret"]}
        [new, old] = public_keys(later)
        both = [later["secret"], *first[:1], new, old]
        assert old == first[1]
        await box.until(lambda box: kinds(box.got[-1]) == ["v1", "v1", "v1a", "v1a"])
        refusing.clear()
        await box.until_received(1)
        retried = box.ok[0]
        assert retried.attempt > 1
        assert [verifies(key, retried) for key in both] == [True] * 4
        assert (await api.post(f"{PATH}/{made['id']}/ping", None, status=200))["delivered"]
        assert [verifies(key, box.got[-1]) for key in both] == [True] * 4
        assert box.one_body_for_each_id()
        ended = {**await rotated(api, made, grace_seconds=0), "secret": None}
        await api.post(f"{PATH}/{made['id']}/ping", None, status=200)
    assert [verifies(key, box.got[-1]) for key in both] == [False, False, True, True]
    assert public_keys(ended) == [new, old]


@pytest.mark.parametrize("kind", ["v1", "v1a"])
@pytest.mark.parametrize("grace", [0, 1, 7 * DAY])
async def test_a_rotation_tells_when_the_older_key_ends(api: Api, kind: str, grace: int) -> None:
    made = await created(api, ed25519=True)
    shown = await rotated(api, made, kind=kind, grace_seconds=grace)
    of_kind = [key for key in shown["signing_keys"] if key["kind"] == kind]
    assert len(of_kind) == (2 if grace else 1)
    assert [key["expires_at"] is None for key in of_kind] == [True, False][: len(of_kind)]
    assert len(shown["signing_keys"]) == len(of_kind) + 1, "the other kind is not rotated"


@pytest.mark.parametrize("grace", [-1, 7 * DAY + 1, 8 * DAY])
async def test_a_grace_below_zero_or_of_more_than_seven_days_is_refused(api: Api, grace: int) -> None:
    made = await created(api)
    assert await refused(api, made, grace_seconds=grace) == ("grace_seconds", "out_of_range")
    assert len((await api.get(f"{PATH}/{made['id']}"))["signing_keys"]) == 1


async def test_a_sixth_valid_key_is_refused_and_no_older_one_is_lost(api: Api) -> None:
    made = await created(api, ed25519=True)
    for kind in ("v1", "v1a", "v1"):
        await rotated(api, made, kind=kind)
    before = await api.get(f"{PATH}/{made['id']}")
    assert len(before["signing_keys"]) == 5
    for kind in ("v1", "v1a"):
        assert await refused(api, made, kind=kind, grace_seconds=1) == ("grace_seconds", "too_many_keys")
    assert await api.get(f"{PATH}/{made['id']}") == before
    assert len((await rotated(api, made, grace_seconds=0))["signing_keys"]) == 3


async def test_ed25519_is_turned_on_and_off_by_a_change(api: Api) -> None:
    made = await created(api)
    path = f"{PATH}/{made['id']}"
    assert await refused(api, made, kind="v1a") == ("kind", "ed25519_off")
    on = (await api.call("PATCH", path, {"ed25519": True})).json()
    assert len(public_keys(on)) == 1
    assert on["version"] == made["version"] + 1
    assert (await api.call("PATCH", path, {"ed25519": True})).json() == on, "it is on: nothing changes"
    off = (await api.call("PATCH", path, {"ed25519": False})).json()
    assert (off["ed25519"], public_keys(off)) == (False, [])
    for _ in range(4):
        await rotated(api, made)
    answer = await api.call("PATCH", path, {"ed25519": True})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "ed25519")


@pytest.mark.parametrize(
    ("kind", "secret"), [("v1", own("whsec_", 24)), ("v1", own("whsec_", 64)), ("v1a", own("whsk_", 32))]
)
async def test_a_key_of_ones_own_is_taken(api: Api, kind: str, secret: str) -> None:
    async with inbox() as box:
        made = await created(api, box.url, ed25519=True)
        shown = await rotated(api, made, kind=kind, secret=secret, grace_seconds=0)
        assert shown["secret"] == (secret if kind == "v1" else None)
        await api.post(f"{PATH}/{made['id']}/ping", None, status=200)
    assert verifies(secret if kind == "v1" else public_keys(shown)[0], box.got[0])


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        ("v1", own("whsec_", 23)),
        ("v1", own("whsec_", 65)),
        ("v1", own("whsk_", 32)),
        ("v1", own("", 32)),
        ("v1", ""),
        ("v1a", own("whsk_", 31)),
        ("v1a", own("whsk_", 33)),
        ("v1a", own("whsk_", 64)),
        ("v1a", own("whpk_", 32)),
        ("v1a", own("whsec_", 32)),
        ("v1a", "whsk_éé"),
    ],
)
async def test_a_key_of_the_wrong_length_prefix_or_form_is_refused_and_not_repeated(
    api: Api, kind: str, secret: str
) -> None:
    made = await created(api, ed25519=True)
    assert await refused(api, made, kind=kind, secret=secret) == ("secret", "secret_invalid")
    answer = await api.call("POST", f"{PATH}/{made['id']}/secret", {"kind": kind, "secret": secret})
    assert not secret or secret not in answer.text
    assert await api.get(f"{PATH}/{made['id']}") == {
        name: made[name] for name in made if name not in ("secret", "warnings")
    }


async def test_a_rotation_of_an_unknown_kind_and_a_secret_that_is_too_long_are_refused(api: Api) -> None:
    made = await created(api)
    assert await refused(api, made, kind="v2") == ("kind", "unknown_value")
    assert await refused(api, made, secret="whsec_" + "A" * 200) == ("secret", "too_long")
