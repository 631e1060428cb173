"""The command line. Each command imports what it needs when called, so that `--help` does not load the service."""

import gc
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.commands.output import escape_unknown_characters

cli = typer.Typer(
    name="baton",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Baton: manages leads from form fill to opportunity, as a service.",
)
tenants = typer.Typer(no_args_is_help=True, help="Create tenants.")
keys = typer.Typer(no_args_is_help=True, help="Create and revoke API keys.")
policy = typer.Typer(no_args_is_help=True, help="Check, compare and show policy documents.")
secrets = typer.Typer(no_args_is_help=True, help="Change the keys that secrets are encrypted with.")
reports = typer.Typer(no_args_is_help=True, help="Make what reports read anew.")
PARTS = ((tenants, "tenants"), (keys, "keys"), (policy, "policy"), (secrets, "secrets"), (reports, "reports"))
for part, name in PARTS:
    cli.add_typer(part, name=name)
PASS_ARGUMENTS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Directory of the embedded PostgreSQL (.baton).")]


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8000).")] = None,
    data_dir: DataDir = None,
    roles: Annotated[str | None, typer.Option(help="Comma-separated: api,work,dispatch; all by default.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port (1).")] = None,
) -> None:
    """Start the service; without BATON_DATABASE_URL it runs an embedded PostgreSQL."""
    from app.settings import load

    settings = load(host=host, port=port, data_dir=data_dir, roles=roles, workers=workers)
    gc.disable()  # while the modules of the service are loaded: they stay, and loading them takes a fifth less time
    from app.commands.serve import serve as run  # its metrics use the folder that `load` checks

    gc.enable()
    run(settings)


@cli.command()
def migrate(data_dir: DataDir = None) -> None:
    """Migrate the schema to the newest revision; concurrent calls wait for each other."""
    import asyncio

    from app.database import migrate as schema
    from app.database.requirements import require
    from app.database.server import running_database
    from app.settings import load, without_pooler

    async def migrated(url: str) -> None:
        await require(url)
        await schema.upgrade(url)

    with running_database(load(data_dir=data_dir)) as settings:
        asyncio.run(migrated(without_pooler(settings)))
    print(f"The schema is at revision {schema.newest()}.")


@cli.command()
def verify(data_dir: DataDir = None) -> None:
    """Recompute every journey from its transitions, check the audit logs and summaries; status 1 and what differs."""
    from app.commands.administration import verify_all
    from app.database.server import run_on_database

    raise typer.Exit(run_on_database(data_dir, verify_all))


@cli.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be removed.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Id or name; by default all tenants.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Remove now what was kept long enough, and say how many rows and which partitions; `serve` does so by itself."""
    from app.commands.retention import remove_or_count
    from app.database.server import run_on_database
    from app.expiry.due import Periods
    from app.settings import load

    periods = Periods.of(load(data_dir=data_dir))
    run_on_database(data_dir, lambda engine: remove_or_count(engine, tenant, periods, dry_run=dry_run))


@tenants.command("create")
def create_tenant(
    name: str,
    policy: Annotated[Literal["waterfall", "pipeline"], typer.Option(help="Its first lifecycle policy.")] = "waterfall",
    data_dir: DataDir = None,
) -> None:
    """Create a tenant and its first API key, which is shown once."""
    from app.commands.administration import make_tenant
    from app.database.server import run_on_database

    run_on_database(data_dir, lambda engine: make_tenant(engine, name, policy))


@keys.command("create")
def create_key(
    tenant: Annotated[str | None, typer.Option(help="Id or name; by default the first tenant.")] = None,
    scopes: Annotated[str, typer.Option(help="Comma-separated.")] = "admin,platform",
    name: Annotated[str, typer.Option(help="A name that says what the key is for.")] = "made by hand",
    data_dir: DataDir = None,
) -> None:
    """Create an API key, which is shown once."""
    from app.commands.administration import make_key
    from app.database.server import run_on_database

    scope_list = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    run_on_database(data_dir, lambda engine: make_key(engine, tenant, name, scope_list))


@keys.command("revoke")
def revoke_key(key: str, data_dir: DataDir = None) -> None:
    """Revoke an API key by its id."""
    from app.commands.administration import revoke
    from app.database.server import run_on_database

    run_on_database(data_dir, lambda engine: revoke(engine, key))


@reports.command("rebuild")
def rebuild_summaries(data_dir: DataDir = None) -> None:
    """Make the summaries that reports read anew; until they are made, reports read the milestones."""
    from app.commands.administration import rebuild_summaries as make_anew
    from app.database.server import run_on_database

    run_on_database(data_dir, make_anew)


@secrets.command("reseal")
def reseal_secrets(data_dir: DataDir = None) -> None:
    """Encrypt every secret under the first of the secret keys, and print which of the others may be removed.

    The service may run meanwhile. Status 1 if something is still encrypted under another key.
    """
    from app.commands.reseal import reseal_all

    raise typer.Exit(reseal_all(data_dir))


@cli.command()
def backup(file: Path, data_dir: DataDir = None) -> None:
    """Write the embedded database and its secret keys to one new file; the service may run meanwhile."""
    from app.commands.backup import back_up

    back_up(file, data_dir)


@cli.command()
def restore(file: Path, data_dir: DataDir = None) -> None:
    """Restore a backup into a data directory that does not exist or is empty."""
    from app.commands.backup import restore as restore_backup

    restore_backup(file, data_dir)


@policy.command("check")
def check_policy(file: Path) -> None:
    """Print every fault and warning of a policy document with its line and JSON pointer; status 1 for a fault."""
    from app.commands.policy_files import check

    raise typer.Exit(check(file))


@policy.command("diff")
def diff_policies(earlier: Path, later: Path) -> None:
    """Print in words what the second policy document has other than the first; status 1 if one has faults."""
    from app.commands.policy_files import diff

    raise typer.Exit(diff(earlier, later))


@policy.command("show")
def show_policy(
    file: Path,
    diagram: Annotated[bool, typer.Option("--diagram", help="Its stages and actions, as text for Mermaid.")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="The same diagram as a picture.")] = False,
    body: Annotated[bool, typer.Option("--json", help="The document as the body of POST /v1/policies.")] = False,
) -> None:
    """Print what a policy document says, in words, as a diagram or as JSON; status 1 if it has faults."""
    from app.commands.policy_files import show

    raise typer.Exit(show(file, diagram=diagram, picture=svg, body=body))


@cli.command()
def demo(
    url: Annotated[
        str | None,
        typer.Option(help="URL of a running service; by default that of --data-dir at BATON_PORT, or one is started."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="With --url: its API key, with the scopes admin, actors:assert.")
    ] = None,
    leads: Annotated[int, typer.Option(min=10, max=100_000, help="How many leads.")] = 5_000,
    seed: Annotated[int, typer.Option(help="The same seed generates the same leads.")] = 1,
    data_dir: DataDir = None,
) -> None:
    """Generate half a year of leads and send it to a service over HTTP: into a new tenant, or that of --key."""
    from app.commands.demo.run import demo as run_demo

    run_demo(url, key, leads, seed, data_dir)


@cli.command()
def tail(
    key: Annotated[str, typer.Option(envvar="KEY", help="An API key with events:read.")],
    url: Annotated[
        str | None, typer.Option(envvar="BATON", help="URL of the service; by default from the settings.")
    ] = None,
    forward: Annotated[str | None, typer.Option(help="URL that each event is posted to as a signed webhook.")] = None,
    secret: Annotated[
        str | None, typer.Option(envvar="SECRET", help="Signs what is forwarded: whsec_…; by default a new one.")
    ] = None,
    consumer: Annotated[
        str | None, typer.Option(help="Name of a consumer: go on where it stands, acknowledge what was done.")
    ] = None,
    after: Annotated[
        str, typer.Option(help="latest, earliest, a timestamp, or a cursor; of a new consumer.")
    ] = "latest",
    types: Annotated[str | None, typer.Option(help="Such as lead.converted,submission.*")] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Stop after this many events.")] = None,
) -> None:
    """Print events as they occur, as JSON lines, until Ctrl-C; with --forward post each one until it is accepted."""
    from app.commands.tail import FeedOptions
    from app.commands.tail import tail as follow
    from app.settings import load

    address = (url or load().address).rstrip("/")
    follow(FeedOptions(address, key, after, types, most, consumer), forward, secret)


@cli.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A CSV, XLSX, XLS or ODS file of people.")],
    source: Annotated[str, typer.Option(help="Id of the source whose document maps the columns.")],
    key: Annotated[str, typer.Option(envvar="KEY", help="An API key with leads:write and leads:read.")],
    url: Annotated[
        str | None, typer.Option(envvar="BATON", help="URL of the service; by default from the settings.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come of it, and write nothing.")] = False,
    errors: Annotated[Path | None, typer.Option(help="Where to save the refused rows, to correct them.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="A parameter of POST /v1/imports, such as entry=suspect; may be repeated.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Character set of a CSV, such as windows-1250.")] = None,
) -> None:
    """Import a list of people into a running service; status 1 if rows are refused."""
    from app.commands.import_list import ListFile, import_list
    from app.settings import load

    parameters: dict[str, list[str] | str] = {"source_id": source, "dry_run": "true" if dry_run else "false"}
    for name, value in _named(option, "entry=suspect"):
        parameters[name] = [*parameters.get(name, []), value]
    if encoding is not None:
        parameters["encoding"] = encoding
    address = (url or load().address).rstrip("/")
    raise typer.Exit(import_list(ListFile(file, address, key, parameters, errors)))


@cli.command()
def report(
    name: Annotated[str, typer.Argument(help="Such as funnel, velocity, wins, forecast or forecast_changes.")],
    key: Annotated[str, typer.Option(envvar="KEY", help="An API key with reports:read.")],
    first: Annotated[str | None, typer.Option("--from", help="The first day, such as 2026-01-01.")] = None,
    to: Annotated[str | None, typer.Option(help="The day after the last one.")] = None,
    by: Annotated[str | None, typer.Option(help="A group for each value of this, such as source or owner.")] = None,
    as_of: Annotated[str | None, typer.Option(help="An instant: what had been recorded by then counts.")] = None,
    period: Annotated[str | None, typer.Option(help="Of the forecast, instead of days: such as 2026-Q4.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Another parameter of the report, such as horizon=60; may be repeated.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    url: Annotated[
        str | None, typer.Option(envvar="BATON", help="URL of the service; by default from the settings.")
    ] = None,
) -> None:
    """Print a report of a running service."""
    from app.commands.report import AskedReport
    from app.commands.report import report as print_report
    from app.settings import load

    given = {"from": first, "to": to, "by": by, "as_of": as_of, "period": period, **dict(_named(option, "horizon=60"))}
    parameters = {name: value for name, value in given.items() if value is not None}
    print_report(AskedReport(name, (url or load().address).rstrip("/"), key, parameters), as_csv=csv)


@cli.command()
def torture(
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long faults occur.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults at the same times.")] = 1,
) -> None:
    """Run the service on a database of its own under load, kill its processes, and check that every promise is kept.

    Needs some GB of memory, and no settings. Status 1 if a promise was broken; the evidence is then kept.
    """
    from app.commands.torture.run import torture as run_torture

    raise typer.Exit(run_torture(minutes, seed))


@cli.command()
def doctor(data_dir: DataDir = None) -> None:
    """Print the environment, every setting with its origin, and problems with their remedies."""
    from app.commands.doctor import report

    raise typer.Exit(report(data_dir))


@cli.command(context_settings=PASS_ARGUMENTS_ON)
def test(context: typer.Context) -> None:
    """Run all tests on a PostgreSQL of their own; arguments are passed to pytest."""
    _require_checkout("test")
    from app.commands.check import run_tests

    raise typer.Exit(run_tests(context.args))


@cli.command()
def check() -> None:
    """Check format, lint, types, import contracts, migrations, generated files and sizes."""
    _require_checkout("check")
    from app.commands.check import run_checks

    raise typer.Exit(run_checks())


@cli.command()
def openapi() -> None:
    """Write openapi/openapi.json and docs/errors.md from the code."""
    _require_checkout("openapi")
    from app.commands.openapi import generated

    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


def _named(options: list[str] | None, example: str) -> list[tuple[str, str]]:
    """The names and values of `--option NAME=VALUE`."""
    for one in options or ():
        if "=" not in one:
            raise typer.BadParameter(f"{one}: write NAME=VALUE, such as {example}", param_hint="--option")
    return [(one.partition("=")[0], one.partition("=")[2]) for one in options or ()]


def _require_checkout(command: str) -> None:
    from app.settings import IS_CHECKOUT, CannotStart

    if not IS_CHECKOUT:
        raise CannotStart(f"`{command}` needs a checkout of Baton's source: there, run python3 -m app {command}")


def _require_text(arguments: list[str]) -> None:
    """Raises CannotStart for an argument with bytes that are no text here, unless it is the name of a file.

    Python keeps such bytes as lone surrogates, which neither the database nor HTTP takes.
    """
    from app.matching.text import is_storable
    from app.settings import CannotStart

    for argument in arguments:
        if not is_storable(argument) and not Path(argument).is_file():
            raise CannotStart(f"{argument} has bytes that are no text in this terminal's encoding: try LC_ALL=C.UTF-8")


def main() -> None:
    """Run one command. After CannotStart or an error of the database, print one line and exit with status 2."""
    escape_unknown_characters()
    try:
        _require_text(sys.argv[1:])
        cli(prog_name="baton")
    except Exception as error:
        from app.database.requirements import explained
        from app.settings import CannotStart

        reason = str(error) if isinstance(error, CannotStart) else explained(error)
        if reason is None:
            raise
        print(f"baton: {reason}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
