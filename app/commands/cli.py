"""The commands. Each one imports what it needs when it is called: `--help` needs none of the service."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

cli = typer.Typer(
    name="baton",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Baton: the hand-off between marketing and sales, as a service.",
)
tenants = typer.Typer(no_args_is_help=True, help="Make tenants.")
keys = typer.Typer(no_args_is_help=True, help="Make and revoke API keys.")
policy = typer.Typer(no_args_is_help=True, help="Check policy documents.")
for part, name in ((tenants, "tenants"), (keys, "keys"), (policy, "policy")):
    cli.add_typer(part, name=name)
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where the embedded PostgreSQL lives (.baton).")]


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8000).")] = None,
    data_dir: DataDir = None,
    roles: Annotated[str | None, typer.Option(help="Any of api,work,dispatch; all by default.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port (1).")] = None,
) -> None:
    """Start the service; without BATON_DATABASE_URL on a PostgreSQL of its own."""
    from app.commands import serve as service
    from app.settings import load

    service.serve(load(host=host, port=port, data_dir=data_dir, roles=roles, workers=workers))


@cli.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the schema to the newest revision, under a lock."""
    import asyncio

    from app.database import migrate as schema
    from app.database.server import running_database
    from app.settings import load

    with running_database(load(data_dir=data_dir)) as settings:
        asyncio.run(schema.upgrade(settings.url))
    print(f"The schema is at revision {schema.newest()}.")


@cli.command()
def verify(data_dir: DataDir = None) -> None:
    """Fold the log of every journey and compare with what is stored; status 1 and the ids when something differs."""
    from app.commands.administration import verify_all
    from app.database.server import run_on_database

    raise typer.Exit(run_on_database(data_dir, verify_all))


@tenants.command("create")
def create_tenant(
    name: str,
    policy: Annotated[Literal["waterfall", "pipeline"], typer.Option(help="Under which it starts.")] = "waterfall",
    data_dir: DataDir = None,
) -> None:
    """Make a tenant with its first key, which is shown once."""
    from app.commands.administration import make_tenant
    from app.database.server import run_on_database

    run_on_database(data_dir, lambda engine: make_tenant(engine, name, policy))


@keys.command("create")
def create_key(
    tenant: Annotated[str | None, typer.Option(help="Its id or name; the first one when not given.")] = None,
    scopes: Annotated[str, typer.Option(help="Separated by commas.")] = "admin,platform",
    name: Annotated[str, typer.Option(help="What the key is for.")] = "made by hand",
    data_dir: DataDir = None,
) -> None:
    """Make an API key, which is shown once."""
    from app.commands.administration import make_key
    from app.database.server import run_on_database

    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    run_on_database(data_dir, lambda engine: make_key(engine, tenant, name, wanted))


@keys.command("revoke")
def revoke_key(key: str, data_dir: DataDir = None) -> None:
    """Revoke an API key by its id."""
    from app.commands.administration import revoke
    from app.database.server import run_on_database

    run_on_database(data_dir, lambda engine: revoke(engine, key))


@policy.command("check")
def check_policy(file: Path) -> None:
    """Name every fault of a policy document, each with its place; status 1 when there is any."""
    from app.policy.check import faults
    from app.policy.read import read

    try:
        found = read(file.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    wrong = found if isinstance(found, list) else faults(found)
    for fault in wrong:
        print(f"{fault.kind} at {fault.place or '/'}: {fault.code}: {fault.detail}")
    refused = any(fault.kind == "fault" for fault in wrong)
    print("The document has faults." if refused else "The document is sound.")
    raise typer.Exit(1 if refused else 0)


@cli.command()
def demo(
    url: Annotated[
        str | None, typer.Option(help="A running service; without it, the one on the data directory.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="A key of that service: admin, actors:assert.")] = None,
    leads: Annotated[int, typer.Option(min=10, max=100_000, help="How many leads.")] = 5_000,
    seed: Annotated[int, typer.Option(help="The same seed, the same half year.")] = 1,
    data_dir: DataDir = None,
) -> None:
    """Tell a service a realistic half year of leads through its own doors: in a new tenant, or in that of --key."""
    from app.commands.demo.run import demo as tell

    tell(url, key, leads, seed, data_dir)


@cli.command()
def tail(
    key: Annotated[str, typer.Option(envvar="KEY", help="An API key with events:read.")],
    url: Annotated[
        str | None, typer.Option(envvar="BATON", help="The service; by the settings when not given.")
    ] = None,
    forward: Annotated[str | None, typer.Option(help="A receiver that gets each event as a signed webhook.")] = None,
    after: Annotated[str, typer.Option(help="latest, earliest, an instant, or a cursor.")] = "latest",
    types: Annotated[str | None, typer.Option(help="Such as lead.converted,submission.*")] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Stop after so many events.")] = None,
) -> None:
    """Follow the feed of events until Ctrl-C."""
    from app.commands.tail import Reading
    from app.commands.tail import tail as follow
    from app.settings import load

    address = (url or load().address).rstrip("/")
    follow(Reading(address, key, after, types, most), forward)


@cli.command()
def doctor(data_dir: DataDir = None) -> None:
    """Show what Baton runs on, every setting with its origin, what is wrong and what to do."""
    from app.commands.doctor import report

    raise typer.Exit(report(data_dir))


@cli.command(context_settings=PASS_ON)
def test(context: typer.Context) -> None:
    """Run all tests on a PostgreSQL of their own; what follows is handed to pytest."""
    from app.commands.check import run_tests

    raise typer.Exit(run_tests(context.args))


@cli.command()
def check() -> None:
    """Format, lint, types, import contracts, migrations, OpenAPI document, sizes."""
    from app.commands.check import run_checks

    raise typer.Exit(run_checks())


@cli.command()
def openapi() -> None:
    """Write openapi/openapi.json and docs/errors.md from the code."""
    from app.commands.openapi import generated

    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(f"{path} is written.")


def main() -> None:
    """Run one command; what a person can put right ends in one line and status 2, without a traceback."""
    try:
        cli(prog_name="baton")
    except Exception as error:
        from app.settings import CannotStart

        if not isinstance(error, CannotStart):
            raise
        print(f"baton: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
