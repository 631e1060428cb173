"""The commands of an installed wheel: run from any folder, without the checkout around the package."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.database import migrate
from app.web import guides

ROOT = Path(__file__).parents[2]
NO_CACHES = shutil.ignore_patterns("__pycache__")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INCLUDED: dict[str, str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages as the wheel fills it: `app`, with what pyproject.toml includes inside."""
    site = tmp_path_factory.mktemp("site 100%")
    shutil.copytree(ROOT / "app", site / "app", ignore=NO_CACHES)
    for source, target in INCLUDED.items():
        (site / target).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, site / target)
    return site


def baton(site: Path, folder: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """Status and output of one command, run in that folder."""
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin", "HOME": str(folder), **settings}
    command = [sys.executable, "-P", "-m", "app", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["test", "check", "openapi"])
def test_a_command_for_developers_says_that_it_needs_a_checkout(command: str, site: Path, tmp_path: Path) -> None:
    status, output = baton(site, tmp_path, command)
    assert (status, output.count("\n")) == (2, 1)
    assert f"`{command}` needs a checkout" in output
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_takes_nothing_out_of_the_package() -> None:
    assert [name for name in INCLUDED if name.startswith("app")] == []  # hatchling would move it


def test_the_guides_are_found_inside_the_package(site: Path, tmp_path: Path) -> None:
    code = "from app.web import guides; print(len(guides.addresses()), guides.page('forms', '')[:15])"
    command = [sys.executable, "-P", "-c", code]
    environment = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert shown.split(maxsplit=1) == [str(len(guides.addresses())), "<!doctype html>\n"]


def test_a_shipped_policy_is_checked(site: Path, tmp_path: Path) -> None:
    policy = site / "app" / "policy" / "defaults" / "waterfall.yaml"
    assert baton(site, tmp_path, "policy", "check", str(policy)) == (0, "The document is sound.\n")


async def test_a_database_is_migrated_and_examined_and_messages_name_the_installed_command(
    site: Path, tmp_path: Path, url: str
) -> None:
    settings = {"BATON_DATABASE_URL": url, "BATON_SECRET_KEYS": "k1:" + "A" * 43 + "="}
    status, output = baton(site, tmp_path, "migrate", **settings)
    assert (status, output) == (0, f"The schema is at revision {migrate.newest()}.\n")
    status, output = baton(site, tmp_path, "doctor", **settings)
    assert f"schema │ {migrate.newest()}" in " ".join(output.split())
    assert "the schema is not at" not in output
    status, output = baton(site, tmp_path, "keys", "create", "--tenant", "nobody", **settings)
    assert (status, "create one with `baton tenants create" in output) == (2, True)
