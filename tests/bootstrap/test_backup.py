"""Backup and restore of the embedded database, with the commands that docs/operations.md prints."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = re.findall(
    r"^ +\.venv/bin/python - <<'END'\n(.*?)^ +END$",
    (ROOT / "docs" / "operations.md").read_text(),
    re.DOTALL | re.MULTILINE,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="baton-backup-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


def python(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_restored_backup_has_the_tenant_and_the_secret_keys(folder: Path) -> None:
    backup, restore = (re.sub(r"^    ", "", command, flags=re.MULTILINE) for command in COMMANDS)
    python(folder, "-m", "app.commands.cli", "migrate")
    python(folder, "-m", "app.commands.cli", "tenants", "create", "acme")
    python(folder, "-c", "from app.settings import load, with_secrets; with_secrets(load())")
    python(folder, "-c", backup)
    python(folder, "-c", restore)
    assert "btn_" in python(
        folder, "-m", "app.commands.cli", "keys", "create", "--tenant", "acme", "--data-dir", "restored"
    )
    assert (folder / "restored" / "secret_keys").read_bytes() == (folder / ".baton" / "secret_keys").read_bytes()
