"""`baton demo` as a command."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.commands.demo import run
from app.settings import CannotStart, load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="baton-demo-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


def baton(folder: Path, *arguments: str) -> str:
    """The output of a command that must succeed."""
    command = [sys.executable, "-P", "-m", "app.commands.cli", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), "BATON_PORT": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_a_service_that_does_not_become_ready_is_reported_instead_of_used(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "READY_SECONDS", 0)
    monkeypatch.setenv("BATON_DATABASE_URL", url)
    with pytest.raises(CannotStart, match="was not ready after 0 seconds"):
        async with run._temporary_service(load(), "no key"):
            pytest.fail("the service was used")


def test_the_demo_starts_a_service_sends_it_all_leads_and_verify_finds_no_difference(folder: Path) -> None:
    (folder / "app").mkdir()  # must not be taken for the service's package
    (folder / "app" / "__init__.py").write_text("raise ImportError('the wrong app')")
    output = baton(folder, "demo", "--leads", "120", "--seed", "3")
    counts = {stage: int(count) for stage, count in re.findall(r"^  ([a-z]+) +(\d+) +\d+%", output, re.MULTILINE)}
    assert sum(counts.values()) == 120
    assert counts["converted"] > 0
    assert counts["inquiry"] > counts["disqualified"] > 0
    assert re.search(r"export BATON=http://\S+ KEY=btn_\w{43}$", output, re.MULTILINE)
    assert "Admin key of the service (shown only once): btn_" in output
    assert "0 differ from their log" in baton(folder, "verify")
