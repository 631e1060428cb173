"""`baton import`: streams a file to a running service and reports what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from app.commands import import_list
from app.commands.import_list import ListFile
from app.settings import CannotStart, Settings
from tests.api import Api, running
from tests.imports.lists import Lists, make_lists, table, xlsx
from tests.serving import served
from tests.submissions.sender import count

PEOPLE = (
    ("Name", "E-mail"),
    ("Ana", "ana@nordsoft.example"),
    ("Bob", "bob(at)acme.example"),
    ("Eva", "eva@acme.example"),
)


@asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[tuple[Api, Lists, str]]:
    """A service on a socket that processes what it receives, and a source of it."""
    async with running(settings, roles=["api", "work"]) as api, served(api.app) as url:
        yield api, await make_lists(api), url


async def run(file: ListFile) -> int:
    return await import_list._run(file)


def list_file(path: Path, url: str, api: Api, lists: Lists, errors: Path | None = None, **options: Any) -> ListFile:
    return ListFile(path, url, api.key, {"source_id": lists.source["id"], **options}, errors)


async def test_a_list_is_streamed_processed_and_its_refused_rows_are_reported_and_saved(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, errors = tmp_path / "people.csv", tmp_path / "refused.csv"
    path.write_text(table(*PEOPLE))
    async with service(settings) as (api, lists, url):
        assert await run(list_file(path, url, api, lists, errors)) == 1
        shown = capsys.readouterr().out
        assert "lead: 2, quarantined: 1" in shown
        assert "row 3 is refused: identity_required (email: bob(at)acme.example)" in shown
        assert "Rows processed: 3 of 3" in shown
        errors.write_text(errors.read_text("utf-8").replace("(at)", "@"))
        assert await run(list_file(errors, url, api, lists)) == 0
        assert await count(api, "SELECT count(*) FROM leads") == 3
        assert [one["name"] for one in (await api.get("/v1/imports"))["data"]] == ["refused.csv", "people.csv"]


async def test_a_dry_run_shows_rows_and_refusals_and_writes_nothing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "people.xlsx"
    path.write_bytes(xlsx({"A1": "Name", "B1": "E-mail", "A2": "Ana", "B2": "ana@nordsoft.example", "A3": "Bob"}))
    async with service(settings) as (api, lists, url):
        assert await run(list_file(path, url, api, lists, dry_run="true")) == 1
        assert await count(api, "SELECT count(*) FROM imports") == 0
    shown = capsys.readouterr().out
    assert "2 rows, nothing is written. lead: 1, quarantined: 1" in shown
    assert "row 2: lead: email=ana@nordsoft.example" in shown
    assert "row 3 is refused: identity_required" in shown


async def test_on_a_terminal_there_are_bars(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "people.csv"
    path.write_text(table(*PEOPLE))
    monkeypatch.setattr(import_list, "console", Console(force_terminal=True, width=120))
    async with service(settings) as (api, lists, url):
        await run(list_file(path, url, api, lists))
    shown = capsys.readouterr().out
    assert "Rows processed" in shown
    assert "━" in shown
    assert "100%" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consent": "email_marketing"}, "422 request_invalid: consent_evidence: say where"),
        ({"speed": "high"}, "422 request_invalid: speed: this endpoint has no parameter"),
        ({"source_id": "src_01kj7jrys5fgynx40zc4zks2gf"}, "404 source_not_found"),
    ],
)
async def test_a_refused_request_is_one_sentence(
    settings: Settings, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "people.csv"
    path.write_text(table(*PEOPLE) * 50_000)
    async with service(settings) as (api, lists, url):
        with pytest.raises(CannotStart, match=message):
            await run(list_file(path, url, api, lists, **options))


async def test_a_file_or_service_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    file = ListFile(tmp_path / "none.csv", "http://127.0.0.1:9", "btn_x", {})
    with pytest.raises(CannotStart, match=r"none\.csv cannot be read"):
        await run(file)
    (tmp_path / "none.csv").write_text("a,b\n")
    with pytest.raises(CannotStart, match="does not answer"):
        await asyncio.wait_for(run(file), 60)
