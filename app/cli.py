"""The commands. Each one imports what it needs when it is called: `--help` needs none of the service."""

import sys
from pathlib import Path
from typing import Annotated

import typer

cli = typer.Typer(
    name="baton", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Baton: the hand-off between marketing and sales, as a service.",
)  # fmt: skip
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
    from app import serve as service
    from app.settings import load

    service.serve(load(host=host, port=port, data_dir=data_dir, roles=roles, workers=workers))


@cli.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the schema to the newest revision, under a lock."""
    import asyncio

    from app import migrate as schema
    from app.serve import database
    from app.settings import load

    with database(load(data_dir=data_dir)) as settings:
        assert settings.database_url is not None
        asyncio.run(schema.upgrade(settings.database_url))
    print(f"The schema is at revision {schema.newest()}.")


@cli.command()
def doctor(data_dir: DataDir = None) -> None:
    """Show what Baton runs on, every setting with its origin, what is wrong and what to do."""
    from app.doctor import report

    raise typer.Exit(report(data_dir))


@cli.command(context_settings=PASS_ON)
def test(context: typer.Context) -> None:
    """Run all tests on a PostgreSQL of their own; what follows is handed to pytest."""
    from app.check import run_tests

    raise typer.Exit(run_tests(context.args))


@cli.command()
def check() -> None:
    """Format, lint, types, import contracts, migrations, OpenAPI document, sizes."""
    from app.check import run_checks

    raise typer.Exit(run_checks())


@cli.command()
def openapi() -> None:
    """Write openapi/openapi.json from the code."""
    from app.openapi import document, place

    place().parent.mkdir(exist_ok=True)
    place().write_text(document())
    print(f"{place()} is written.")


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
