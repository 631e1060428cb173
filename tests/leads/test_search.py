"""`q` of GET /v1/leads: beginnings of words, ranked, in pages; and the words that triggers keep."""

import asyncio
import unicodedata
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.database.transaction import Database, Tx
from app.leads import find
from app.matching.search import terms
from app.matching.text import fold, fold_letters
from tests.api import Api

ZOE = {
    "email": "zoe.k_ovacs+b2b@mail.lodz-sp.pl",
    "first_name": "Zoë",
    "last_name": "O'Neil-Kovács",
    "company": "Łódź Spółka & Co.",
}
FOUND = (
    *("zoe", "ZO", "Zoë", "zoë kov", "kovács zoe", "neil", "o'neil", "O’Neil", "o'neil-kovács"),
    *("lodz", "Łódź", "ŁÓDŹ spolka", "spół", "co", "co.", "lodz zoe co"),
    *("zoe.k", "zoe.k_o", "zoe.k_ovacs+b2b", "zoe.k_ovacs+b2b@mail", "ZOE.K_OVACS+B2B@MAIL.LODZ-SP.PL", "lodz-sp.p"),
    *("@lodz-sp.pl", "lodz-sp.pl zoe", "z z z", "  zoe  ", "zo%", "zoe.kovacs", "ｚｏｅ"),
)
NOT_FOUND = ("oe", "ovacs", "zoe x", "pl", "%", "_", "z_e", "&", "...", "\\", "k@mail", "zoe@", " ", "zoex")


async def found(api: Api, q: str, **filters: Any) -> list[str]:
    answer = await api.call("GET", "/v1/leads", params={"q": q, **filters})
    assert answer.status_code == 200, answer.text
    return [lead["id"] for lead in answer.json()["data"]]


@pytest.fixture
async def zoe(api: Api) -> dict[str, Any]:
    lead = await api.lead(**ZOE)
    await api.lead(email="other@company.example", first_name="Other", company="Company")
    return lead


async def test_every_word_of_a_search_must_begin_a_word_of_name_company_or_address(
    api: Api, zoe: dict[str, Any]
) -> None:
    assert [q for q in FOUND if zoe["id"] not in await found(api, q)] == []
    assert [q for q in NOT_FOUND if zoe["id"] in await found(api, q)] == []


async def test_a_search_lists_the_address_then_companies_then_names_then_the_newest(api: Api) -> None:
    made = {}
    for name, fields in {
        "name": {"first_name": "Anna", "email": "one@a1.example"},
        "exact": {"email": "anna@x.example"},
        "company": {"company": "Great Annapurna", "email": "two@a2.example"},
        "address": {"email": "annabel@a3.example"},
        "newer company": {"company": "Annas", "email": "three@a4.example"},
        "newer name": {"last_name": "Annan", "email": "four@a5.example"},
        "nothing": {"first_name": "Joanna", "email": "joanna@b.example"},
    }.items():
        made[(await api.lead(**fields))["id"]] = name
    order = ["newer company", "company", "newer name", "name", "address", "exact"]
    assert [made[one] for one in await found(api, "anna")] == order
    assert [made[one] for one in await found(api, "ANNA@X.example")] == ["exact"]
    newest = ["newer name", "newer company", "address", "company", "exact", "name"]
    assert [made[one] for one in await found(api, "anna", sort="created_at")] == newest
    assert [made[one] for one in await found(api, "anna", stage="inquiry")] == order
    assert await found(api, "anna", stage="mql") == []


@pytest.mark.parametrize("sort", [None, "created_at", "updated_at", "stage_entered_at"])
@pytest.mark.parametrize("q", ["ann", "ann ne", "ann-marie"])
@pytest.mark.parametrize("most", [(0, 0, 0), (100, 0, 0), (100, 0, 2), (100, 0, 100), (100, 100, 100)])
async def test_pages_list_each_match_once_whether_many_or_few_match(
    api: Api, monkeypatch: pytest.MonkeyPatch, sort: str | None, q: str, most: tuple[int, int, int]
) -> None:
    for name, number in zip(("MOST_READ", "MOST_RANKED", "MOST_LOOKED_UP"), most, strict=True):
        monkeypatch.setattr(find, name, number)
    whole = set()
    for n, (first, company) in enumerate(product(("Ann", "Ann-Marie", "Bob"), ("Nexus", "Annex", "Other"))):
        lead = await api.lead(email=f"p{n}@c.example", first_name=first, company=company)
        words = fold(f"{first} {company}").split()
        if all(any(word.startswith(part) for word in words) for part in fold(q).split()):
            whole.add(lead["id"])
    seen: list[str] = []
    following: str | None = ""
    while following is not None:
        params = {"q": q, "limit": "2", **({"sort": sort} if sort else {})}
        answer = await api.get("/v1/leads", params={**params, **({"cursor": following} if following else {})})
        seen += [lead["id"] for lead in answer["data"]]
        following = answer["next"]
    assert len(seen) == len(set(seen))
    assert set(seen) == whole


@pytest.mark.parametrize("member", [[9, "x"], ["a", "x"], [True, "x"], [1, 7], [1, None], [None, None]])
async def test_a_cursor_of_a_search_that_was_changed_is_refused(api: Api, member: list[Any]) -> None:
    from app.web.pages import write_cursor

    for n in range(2):
        await api.lead(email=f"anna{n}@c.example")
    cursor = (await api.get("/v1/leads?q=anna&limit=1"))["next"]
    assert (await api.call("GET", f"/v1/leads?q=bob&cursor={cursor}")).status_code == 422
    assert (await api.call("GET", f"/v1/leads?q=anna&sort=updated_at&cursor={cursor}")).status_code == 422
    broken = write_cursor({"q": "anna", "identities": []}, "rank", *member)
    assert (await api.call("GET", f"/v1/leads?q=anna&cursor={broken}")).status_code == 422


async def test_a_search_follows_changes_and_leaves_other_tenants_out(api: Api, zoe: dict[str, Any]) -> None:
    await api.call("PATCH", f"/v1/leads/{zoe['id']}", {"fields": {"company": "Danfoss", "first_name": None}})
    assert await found(api, "danf kov") == [zoe["id"]]
    assert await found(api, "spolka") == []
    other = await api.post("/v1/tenants", {"name": "Other"})
    answer = await api.call("GET", "/v1/leads?q=danf", key=other["key"]["secret"])
    assert answer.json()["data"] == []


async def test_long_words_and_long_searches_are_found(api: Api) -> None:
    long = "x" * 150
    lead = await api.lead(email="long@c.example", company=long + " y")
    other = await api.lead(email="longer@c.example", company="x" * 120)
    assert set(await found(api, "x" * 110)) == {lead["id"], other["id"]}
    assert await found(api, long) == [lead["id"]]
    assert await found(api, " ".join("abcdefghijklmnopqrstuvwxyz" * 3)) == []
    big = await api.call("POST", "/v1/leads", {"fields": {"email": "b@c.example", "company": "ж" * 9_000}})
    assert big.status_code < 500


async def stored(tx: Tx) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in await tx.execute(text("SELECT lead_id, word, rank FROM lead_words"))}


EXPECTED = text(
    "SELECT id, word, rank FROM leads, ranked_words(search_words(fields))"
    " WHERE merged_into IS NULL AND erased_at IS NULL"
)


@pytest.mark.parametrize(
    "change",
    [
        'fields = fields || \'{"company": "Danfoss A/S"}\'',
        "fields = '{}'",
        "erased_at = now()",
        "merged_into = id",
        "stage = 'mql', fields = fields",
    ],
)
async def test_words_are_those_of_the_fields_after_any_change(api: Api, zoe: dict[str, Any], change: str) -> None:
    engine: Database = api.app.state.engine
    async with engine.begin() as tx:
        await tx.execute(text(f"UPDATE leads SET {change}"))
        assert await stored(tx) == {tuple(row) for row in await tx.execute(EXPECTED)}
        await tx.execute(text("UPDATE leads SET erased_at = NULL, merged_into = NULL"))
        assert await stored(tx) == {tuple(row) for row in await tx.execute(EXPECTED)}


LETTERS = "aZ9ÀÉÎõÜßẞæŒøØłŁđĐıİşŞğçñŽžΑΩςσάЖжЁёйЇїÞðﬁſＡ①№ªﾊパ한"
SEPARATORS = " -_.,;:!?'’\"&/()+@–—…，、«»\u00a0\u200b"


@given(st.lists(st.text(alphabet=LETTERS + SEPARATORS, min_size=1, max_size=12), min_size=1, max_size=8))
def test_postgresql_folds_as_the_rules_do(shared_dsn: str, values: list[str]) -> None:
    import asyncpg

    async def fold_there() -> list[tuple[str, str]]:
        connection = await asyncpg.connect(shared_dsn)
        rows = await connection.fetch(
            "SELECT folded(v) AS letters, search_words(jsonb_build_object('company', v)) AS words"
            " FROM unnest($1::text[]) v",
            values,
        )
        await connection.close()
        return [(row["letters"], row["words"].split("\n")[0]) for row in rows]

    for value, (letters, words) in zip(values, asyncio.run(fold_there()), strict=True):
        assert letters == fold_letters(fold_letters(value)), value
        assert words.split() == fold(fold(value)).split(), value


LINES = [
    "",
    " ",
    "a",
    " a b a",
    "  a   b ",
    " " + "x" * 150 + " " + "x" * 101,
    " łódź ж",
    " " + " ".join("abcdefghijklm"),
]


async def test_words_are_ranked_by_their_line_each_once_and_cut_to_what_an_index_holds(tx: Tx) -> None:
    for lines in product(LINES, repeat=3):
        found = await tx.execute(text("SELECT word, rank FROM ranked_words(:words)"), {"words": "\n".join(lines)})
        words = [(word[:100], rank) for rank, line in enumerate(lines, 1) for word in line.split()]
        assert sorted(tuple(row) for row in found) == sorted(set(words))
    assert (await tx.execute(text("SELECT word, rank FROM ranked_words(NULL)"))).all() == []


def test_a_search_is_folded_whatever_its_form() -> None:
    for form in ("NFC", "NFD", "NFKC"):
        assert terms(unicodedata.normalize(form, "ŁÓDŹ é@x.ro")) == terms("lodz e@x.ro")
