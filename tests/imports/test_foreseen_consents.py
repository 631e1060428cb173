"""A dry run tells of the consents that the import would not count, row by row."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.api import Api
from tests.imports.lists import make_lists, table
from tests.leads.test_consents import unsubscribing

HEAD = ("E-mail", "Newsletter", "Phone")
ANA, JAN, EVA = "ana@nordsoft.example", "jan@nordsoft.example", "eva@nordsoft.example"
WHOLE = {"consent": "email_marketing", "consent_evidence": "a fair"}
LISTS = [
    [(ANA, "yes", ""), (JAN, "yes", ""), (EVA, "yes", "")],
    [(ANA, "", ""), (JAN, "", ""), (EVA, "", ""), ("", "yes", "")],
    [(ANA, "no", ""), (JAN, "no", ""), (EVA, "no", ""), (EVA, "yes", ""), (JAN, "yes", "")],
    [(EVA, "yes", ""), (EVA, "no", ""), (EVA, "yes", ""), ("new@nordsoft.example", "yes", "")],
    [(ANA, "yes", ""), (ANA, "yes", ""), ("other@nordsoft.example", "yes", "+40721000111")],
]


@pytest.mark.parametrize("options", [{}, {"entry": "suspect"}, WHOLE, {**WHOLE, "entry": "suspect"}])
@pytest.mark.parametrize("rows", LISTS)
@pytest.mark.parametrize("again", [False, True])
async def test_a_dry_run_gives_each_row_the_reason_that_the_import_does(
    api: Api, rows: list[tuple[str, ...]], options: dict[str, str], again: bool
) -> None:
    said = [{"purpose": "email_marketing", "state": "withdrawn", "occurred_at": api.ago(days=3)}]
    given = [{"purpose": "email_marketing", "state": "given", "occurred_at": api.ago(days=9)}]
    await api.post("/v1/leads", {"fields": {"email": ANA}, "consents": said, "occurred_at": api.ago(days=3)})
    await api.post("/v1/leads", {"fields": {"email": EVA}, "consents": given, "occurred_at": api.ago(days=9)})
    sender = await unsubscribing(api)
    await sender.post_and_process({"type": "unsubscribe", "email": JAN, "fired_at": api.ago(days=2)})
    lists, text = await make_lists(api), table(HEAD, *rows)
    if again:
        await lists.import_list(text, **options)
    shown = await lists.post(text, dry_run="true", status=200, **options)
    made = await lists.rows(await lists.import_list(text, **options))
    assert [row["reason"] for row in shown["first"]] == [row["reason"] for row in made]
    assert shown["reasons"] == Counter(row["reason"] for row in made if row["reason"])
