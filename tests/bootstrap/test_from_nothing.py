"""`python3 -m app` without an environment: it is created, reused and updated, or refused with one sentence."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import app
from app import __main__ as bootstrap

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys\ndef main():\n    print('program', sys.prefix, *sys.argv[1:])\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real bootstrap, empty lock files and a program that prints sys.prefix and its arguments."""
    (tmp_path / "app").mkdir()
    shutil.copy(ROOT / "app" / "__main__.py", tmp_path / "app")
    (tmp_path / "app" / "__init__.py").touch()
    (tmp_path / "app" / "commands").mkdir()
    (tmp_path / "app" / "commands" / "cli.py").write_text(PROGRAM)
    for lock in (bootstrap.PLAIN, bootstrap.DEVELOPERS):
        (tmp_path / lock).write_text("# nothing\n")
    return tmp_path


def begin(checkout: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    base = getattr(sys, "_base_executable", sys.executable)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [base, "-m", "app", *arguments]
    path = {"PATH": "/usr/bin:/bin", "HOME": str(checkout)}
    return subprocess.Popen(command, cwd=checkout, env={**path, **environment}, **pipes)  # type: ignore[call-overload]


def run(checkout: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = begin(checkout, *arguments, **environment)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_the_environment_is_created_once_and_updated_when_the_lock_file_changes(checkout: Path) -> None:
    status, out, err = run(checkout, "serve", "--port", "1")
    assert (status, out) == (0, f"program {checkout}/.venv serve --port 1\n")
    assert "Setting up" in err
    assert run(checkout, "serve")[2] == ""
    (checkout / bootstrap.PLAIN).write_text("# something else\n")
    assert "Setting up" in run(checkout, "serve")[2]
    assert run(checkout, "serve")[2] == ""


def test_the_test_command_installs_the_developers_lock_which_all_commands_can_use(checkout: Path) -> None:
    assert bootstrap.DEVELOPERS in run(checkout, "test")[2]
    assert run(checkout, "check")[2] == ""
    assert run(checkout, "serve")[2] == ""


def test_concurrent_first_starts_all_succeed(checkout: Path) -> None:
    processes = [begin(checkout, "serve") for _ in range(3)]
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum("Setting up" in err for _, err in answers) >= 1
    assert {out for out, _ in answers} == {f"program {checkout}/.venv serve\n"}


def test_an_environment_whose_python_is_missing_is_created_again(checkout: Path) -> None:
    run(checkout, "serve")
    for name in ("python", "python3"):
        (checkout / ".venv" / "bin" / name).unlink()
        (checkout / ".venv" / "bin" / name).symlink_to("/nowhere/python3")
    assert run(checkout, "serve")[0] == 0


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(checkout: Path) -> None:
    status, out, err = run(checkout, "serve", BATON_VENV="/proc/baton")
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "BATON_VENV" in err


def test_packages_that_cannot_be_installed_are_reported_without_a_traceback(checkout: Path) -> None:
    (checkout / bootstrap.PLAIN).write_text("no-such-package==1 --hash=sha256:" + "0" * 64 + "\n")
    status, _, err = run(checkout, "serve", PIP_NO_INDEX="1")
    assert status == 1
    assert "run the same command again" in err.splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 10)])
def test_a_python_that_is_too_old_is_refused_with_one_sentence(version: tuple[int, int]) -> None:
    with pytest.raises(bootstrap.SetupError, match=r"needs Python 3\.11 or newer; this is "):
        bootstrap.check_version(version)


def test_a_python_newer_than_the_newest_wheels_is_refused_with_one_sentence() -> None:
    with pytest.raises(bootstrap.SetupError, match=r"up to 3\.\d+; this is 3\.99"):
        bootstrap.check_version((3, 99))
    bootstrap.check_version((3, 11))


def test_the_bootstrap_uses_only_the_standard_library_and_syntax_of_old_pythons() -> None:
    text = (ROOT / "app" / "__main__.py").read_bytes().decode("ascii")
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= sys.stdlib_module_names
    assert [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)] == ["app.commands.cli"]
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match, ast.AsyncFunctionDef, ast.Starred)
    assert not [node for node in ast.walk(tree) if isinstance(node, newer)]
    assert [type(node) for node in ast.parse(Path(app.__file__).read_text()).body] in (
        [],
        [ast.Expr],
    )  # at most a docstring


def test_lock_files_name_no_registry_and_have_a_hash_for_every_package() -> None:
    plain, developers = ((ROOT / lock).read_text() for lock in (bootstrap.PLAIN, bootstrap.DEVELOPERS))
    for lock in (plain, developers):
        assert "://" not in lock
        entries = [entry for entry in lock.split("\n") if "==" in entry and not entry.startswith((" ", "#"))]
        assert entries
        assert lock.count("==") <= lock.count("--hash=sha256:")
        assert all(entry.endswith("\\") for entry in entries)
    pins = {entry.split("==")[0] for entry in plain.split("\n") if "==" in entry and not entry.startswith(" ")}
    assert pins <= {entry.split("==")[0] for entry in developers.split("\n") if "==" in entry}
