"""schemathesis with all checks against a running service on PostgreSQL finds no failure."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.service import ADMIN_KEY, service

HERE = Path(__file__).parent
# schemathesis would find its own key in the list of keys, and revoke it.
EXCLUDED = "revoke_key_v1_keys__key_id__delete"


@pytest.mark.parametrize("phases", ["examples,coverage", "fuzzing,stateful"])
def test_schemathesis_finds_no_failure(url: str, tmp_path: Path, phases: str) -> None:
    with service(url, tmp_path / "log") as client:
        user = {"name": "Andrei Ene", "email": "andrei@acme.example", "role": "ae"}
        actor = client.post("/v1/users", json=user).json()["id"]
        command = [
            str(Path(sys.executable).parent / "st"),
            "--config-file",
            str(HERE / "schemathesis.toml"),
            "run",
            f"{client.base_url}/openapi.json",
            "--header",
            f"Authorization: Bearer {ADMIN_KEY}",
            "--phases",
            phases,
            "--checks",
            "all",
            "--exclude-operation-id",
            EXCLUDED,
            "--max-examples",
            "5",
            "--request-timeout",
            "120",
            "--suppress-health-check",
            "all",
            "--continue-on-failure",
            "--generation-deterministic",
            "--no-color",
        ]
        environment = {**os.environ, "ACTOR": actor}
        found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert re.search(r"Selected: (\d+)/\d+\n +Tested: \1\n", found.stdout), found.stdout
    assert re.search(r" (\d+) generated, \1 passed", found.stdout), found.stdout
