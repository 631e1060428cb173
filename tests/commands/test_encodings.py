"""Commands in terminals of other encodings: what they lack is escaped, and documents for programs are UTF-8."""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from app.events.partitions import create_partitions
from app.events.sequence import sequence
from app.policy.diagram import mermaid
from app.policy.differences import differences
from app.policy.drawing import svg
from app.policy.shipped import shipped
from tests.api import Api
from tests.imports.lists import make_lists, table
from tests.reports.steps import JANUARY, day, go_to
from tests.serving import served

ROOT = Path(__file__).parents[2]
DEFAULTS = ROOT / "app" / "policy" / "defaults"
ENCODINGS = ["ascii", "latin-1", "utf-8"]


def in_terminal(encoding: str, *arguments: str | bytes, status: int = 0) -> bytes:
    """What a command prints in a terminal of this encoding, with the locale C."""
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "app.commands.cli", *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment | {"PYTHONIOENCODING": encoding},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert b"Traceback" not in done.stdout
    assert done.returncode == status, done.stdout
    return done.stdout


def escaped(text: str, encoding: str) -> bytes:
    return text.encode(encoding, "backslashreplace")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_policy_is_told_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    pipeline, waterfall = (str(DEFAULTS / f"{name}.yaml") for name in ("pipeline", "waterfall"))
    told = in_terminal(encoding, "policy", "diff", pipeline, waterfall)
    old, new = (
        shipped(name).model_dump(mode="json", by_alias=True, exclude_unset=True) for name in ("pipeline", "waterfall")
    )
    lines = [f"{one.text}  [{one.place}]" for one in differences(old, new)]
    assert told.splitlines()[:-1] == [escaped(line, encoding) for line in lines]
    assert escaped("engage: suspect → inquiry.", encoding) in in_terminal(encoding, "policy", "show", waterfall)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        (DEFAULTS / "waterfall.yaml").read_text("utf-8").replace("title:", "größe: 1\ntitle:", 1),
        "utf-8",
    )
    assert escaped("größe", encoding) in in_terminal(encoding, "policy", "check", str(wrong), status=1)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["pipeline", "waterfall"])
def test_a_diagram_is_the_same_bytes_in_every_encoding(encoding: str, name: str) -> None:
    file, policy = str(DEFAULTS / f"{name}.yaml"), shipped(name)
    picture = in_terminal(encoding, "policy", "show", file, "--svg")
    assert picture == svg(policy).encode()
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert in_terminal(encoding, "policy", "show", file, "--diagram") == mermaid(policy).encode()


async def test_what_a_service_answers_is_printed_with_escapes(pipeline_api: Api, tmp_path: Path) -> None:
    api, encoding = pipeline_api, "ascii"
    go_to(api, day(3))
    await api.mql(country="RO", company="Żółć")
    lists = await make_lists(api)
    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    file = os.fsencode(tmp_path / "people") + b"\xff.csv"
    await asyncio.to_thread(Path(os.fsdecode(file)).write_text, table(("Name", "E-mail"), ("Zoë", "")), "utf-8")
    window = ("--from", JANUARY["from"], "--to", JANUARY["to"], "--by", "owner")
    async with served(api.app) as url:
        service = ("--url", url, "--key", api.key)

        async def told(*arguments: str | bytes, status: int = 0) -> bytes:
            return await asyncio.to_thread(in_terminal, encoding, *arguments, *service, status=status)

        assert b'"type":"lead.captured"' in await told("tail", "--after", "earliest", "--most", "3")
        await told("report", "funnel", *window)
        rows = (await told("report", "funnel", *window, "--csv")).decode().splitlines()
        dry = await told("import", file, "--source", lists.source["id"], "--dry-run", status=1)
    assert "key" in next(csv.reader(rows))
    assert escaped("first_name=Zoë", encoding) in dry


@pytest.mark.parametrize(
    "arguments",
    [
        ("tenants", "create", b"Bj\xff"),
        ("keys", "create", "--tenant", b"\xff"),
        ("keys", "create", b"--name=\xff"),
        ("tail", "--key", "k", "--types", b"\xff"),
        ("import", "people.csv", "--key", "k", "--source", b"\xff"),
        ("doctor", "--data-dir", b"\xff"),
        ("policy", "show", b"none\xff.yaml"),
    ],
)
def test_an_argument_with_bytes_that_are_no_text_is_told_in_a_line(arguments: tuple[str | bytes, ...]) -> None:
    said = in_terminal("utf-8", *arguments, status=2)
    assert b"has bytes that are no text in this terminal's encoding" in said
    assert said.count(b"\n") == 1


def test_a_file_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path / "policy") + b"\xff.yaml"
    Path(os.fsdecode(file)).write_bytes((DEFAULTS / "waterfall.yaml").read_bytes())
    assert in_terminal("utf-8", "policy", "check", file) == b"The document is sound.\n"
