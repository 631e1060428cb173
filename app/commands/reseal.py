"""`baton secrets reseal`: encrypts every secret under the first of BATON_SECRET_KEYS, beside a running service."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.database.sealed import keys_in_use, reseal
from app.database.server import run_on_database
from app.database.transaction import Database
from app.keyring import KeyRing
from app.problem import Problem
from app.settings import CannotStart, load, with_secrets

MAX_SHOWN = 100
console = Console(highlight=False, markup=False, soft_wrap=True)


def reseal_all(data_dir: Path | None) -> int:
    """Print the progress, what could not be decrypted, and which keys may go; 1 if something stays as it was."""
    settings = with_secrets(load(data_dir=data_dir), generate=False)
    if not settings.secret_keys:
        raise CannotStart(f"there are no secret keys in {settings.data_dir}: nothing was encrypted yet")
    ring = KeyRing(settings.secret_keys)

    async def run(engine: Database) -> int:
        unreadable = await _reseal(engine, ring)
        async with engine.connect() as tx:
            in_use = await keys_in_use(tx, ring)
        return max(unreadable, *[_report(ring, kid, in_use) for kid in (*ring.keys, *(in_use.keys() - ring.keys))])

    try:
        return run_on_database(data_dir, run)
    except Problem as problem:
        raise CannotStart(f"{problem.detail} Run the command again: it continues where it stopped") from None


async def _reseal(engine: Database, ring: KeyRing) -> int:
    """1 if something could not be decrypted, else 0."""
    read = resealed = unreadable = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Encrypting secrets", total=None)
        async for page in reseal(engine, ring):
            read, resealed = read + page.rows, resealed + page.resealed
            progress.update(task, description=f"Encrypting secrets: {resealed} of {read} read, {page.column}")
            for row in page.unreadable:
                unreadable += 1
                if unreadable <= MAX_SHOWN:
                    console.print(f"{page.column} of {row}: cannot be decrypted with these keys, and is left as it is")
    console.print(f"{read} rows read, {resealed} encrypted under {ring.first}, {unreadable} cannot be decrypted.")
    return 1 if unreadable else 0


def _report(ring: KeyRing, kid: str, in_use: dict[str, bool]) -> int:
    """Say whether one key may go; 1 if something is still encrypted under a key that is not the first."""
    if kid == ring.first:
        return 0
    if kid not in in_use:
        console.print(f"Nothing is encrypted under {kid} any more: remove it from the secret keys of every process.")
        return 0
    console.print(f"Secrets are still encrypted under {kid}: {_remedy(ring, kid, opens=in_use[kid])}.")
    return 1


def _remedy(ring: KeyRing, kid: str, *, opens: bool) -> str:
    if opens:
        return f"keep it, start every process with {ring.first} as its first key, and run this command again"
    return "add that key to the secret keys, behind the first, and run this command again"
