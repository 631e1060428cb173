"""Tenants and keys: versions over HTTP, and the commands that create and revoke them without HTTP."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from app.settings import encode_keys
from tests.api import Api

ROOT = Path(__file__).parents[2]


async def test_tenants_and_keys_have_etags_that_if_match_checks(api: Api) -> None:
    tenant = (await api.post("/v1/tenants", {"name": "other"}))["tenant"]["id"]
    made = await api.post("/v1/keys", {"name": "CRM", "scopes": ["leads:read"]})
    stale = {"If-Match": '"9"'}
    assert (await api.call("GET", f"/v1/tenants/{tenant}")).headers["etag"] == '"1"'
    assert (await api.call("PATCH", f"/v1/tenants/{tenant}", {"name": "x"}, headers=stale)).status_code == 412
    renamed = await api.call("PATCH", f"/v1/tenants/{tenant}", {"name": "x"}, headers={"If-Match": '"1"'})
    assert renamed.headers["etag"] == '"2"'
    assert (await api.call("DELETE", f"/v1/keys/{made['id']}", headers=stale)).status_code == 412
    assert (await api.get(f"/v1/keys/{made['id']}"))["revoked_at"] is None
    assert (await api.call("DELETE", f"/v1/keys/{made['id']}", headers={"If-Match": '"1"'})).status_code == 200


async def test_tenants_and_keys_are_created_and_revoked_by_command(api: Api) -> None:
    made = await baton(api, "tenants", "create", "Globex", "--policy", "pipeline")
    first = re.search(r"btn_\w{43}", made)
    assert first is not None, made
    assert (await api.get("/v1/policies/active", key=first.group()))["name"] == "pipeline"
    output = await baton(api, "keys", "create", "--tenant", "Globex", "--scopes", "leads:read", "--name", "CRM")
    secret, key_id = re.search(r"btn_\w{43}", output), re.search(r"key_\w{26}", output)
    assert secret is not None
    assert key_id is not None
    assert (await api.get("/v1/leads", key=secret.group()))["data"] == []
    await baton(api, "keys", "revoke", key_id.group())
    again = await api.call("GET", "/v1/keys/" + key_id.group(), key=first.group())
    assert again.json()["revoked_at"] is not None
    assert "no live key" in await baton(api, "keys", "revoke", key_id.group(), status=2)
    assert "unknown scopes: all" in await baton(api, "keys", "create", "--scopes", "all", status=2)


async def test_a_policy_is_checked_by_command(api: Api, tmp_path: Path) -> None:
    shipped = ROOT / "app" / "policy" / "defaults" / "waterfall.yaml"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(shipped.read_text().replace("to: mql", "to: mqll"))
    assert "sound" in await baton(api, "policy", "check", str(shipped))
    assert "/actions/2/to" in await baton(api, "policy", "check", str(wrong), status=1)
    assert "too_large" in await baton(api, "policy", "check", "/dev/zero", status=1), "a file without an end"
    assert "cannot be read" in await baton(api, "policy", "check", str(tmp_path), status=2)
    for command in (["show"], ["show", "--svg"], ["diff", str(shipped)]):
        assert "/actions/2/to" in await baton(api, "policy", *command, str(wrong), status=1)


@pytest.mark.parametrize("command", ["serve", "migrate", "doctor"])
@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
async def test_a_folder_for_metrics_that_cannot_be_used_is_one_sentence(
    api: Api, tmp_path: Path, kind: str, command: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    folder = {"missing": str(tmp_path / "none"), "file": str(file), "empty": ""}[kind]
    status = 1 if command == "doctor" else 2
    said = await baton(api, command, status=status, more={"PROMETHEUS_MULTIPROC_DIR": folder})
    sentence = f"PROMETHEUS_MULTIPROC_DIR={folder} is no folder that Baton can write to: create it"
    assert sentence.replace(" ", "") in "".join(said.split())
    assert "Traceback" not in said
    assert command == "doctor" or said.count("\n") == 1


async def baton(
    api: Api,
    *arguments: str,
    status: int = 0,
    keys: dict[str, bytes] | None = None,
    more: dict[str, str] | None = None,
) -> str:
    """The output of a command, run on the database of the test with these secret keys, or with its key under `k1`."""
    settings = api.app.state.settings
    secret_keys = encode_keys(keys or {"k1": next(iter(settings.secret_keys.values()))})
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    environment = {**clean, "BATON_DATABASE_URL": settings.database_url, "BATON_SECRET_KEYS": secret_keys}
    environment |= more or {}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app.commands.cli",
        *arguments,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == status, output.decode()
    return output.decode()
