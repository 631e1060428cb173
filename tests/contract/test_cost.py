"""The cost of a list follows its answer: each list with each filter and order reads about what it returns."""

from itertools import product
from math import isqrt
from typing import Any, Final
from uuid import UUID

import pytest

from app import ids
from app.database.transaction import Database
from app.reports.table import REPORTS
from benchmarks.many_leads import fill_leads
from tests.api import Api
from tests.plans import explained, outline, rows_read, statements_of

pytestmark = pytest.mark.own_database

LIMIT: Final = 10
BIG, OTHER = 35_000, 20_000
MOST_READ: Final = 2_000
# Rows that a page of one lead reads beside its own: identities, journey, policy, user and so on.
ROWS_OF_ONE: Final = 25
SORTS: Final = ("", "created_at", "updated_at", "stage_entered_at")
INSTANTS: Final = ("2000-01-01T00:00:00Z", "2099-01-01T00:00:00Z")
PAGES: Final = {"limit", "cursor", "sort"}
# Lists of few rows, or of one lead, subscription, account, import or back-test; and the feed, read in order.
SHORT: Final = {
    *(
        "/v1/sources",
        "/v1/policies",
        "/v1/models",
        "/v1/backtests",
        "/v1/tenants",
        "/v1/users",
        "/v1/keys",
        "/v1/subscriptions",
    ),
    *(
        "/v1/leads/{lead_id}/activities",
        "/v1/leads/{lead_id}/events",
        "/v1/leads/{lead_id}/consents",
        "/v1/contacts/{contact_id}/activities",
    ),
    *(f"/v1/accounts/{{account_id}}/{name}" for name in ("activities", "people", "timeline")),
    *("/v1/subscriptions/{subscription_id}/deliveries", "/v1/subscriptions/{subscription_id}/attempts", "/v1/events"),
    "/v1/subscriptions/{subscription_id}/replays",
    *("/v1/consumers", "/v1/consumers/{name}/events"),
    "/v1/backtests/{backtest_id}/journeys",
    *("/v1/imports", "/v1/imports/{import_id}/rows"),
    # The rows behind one number of a report, as many as the number says.
    *(f"/v1/reports/{name}/evidence" for name in ("forecast", "forecast/changes")),
    *(f"/v1/reports/{one.name}/evidence" for one in REPORTS),
}
RECORDS: Final = """
    WITH made AS (
        SELECT n, gen_random_uuid() AS id, now() - n * interval '1 minute' AS at,
               CASE WHEN n % 40 = 0 THEN now() END AS archived,
               CASE WHEN n % 500 = 0 THEN $3::uuid WHEN n % 3 = 0 THEN $2::uuid END AS owner
          FROM generate_series(1, 6000) n
    ), accounts AS (
        INSERT INTO accounts (tenant_id, id, name, domain, owner_id, external_id, archived_at, created_at, updated_at)
        SELECT $1, id, 'Firm ' || n, 'firm' || n || '.example', owner, 'x' || n, archived, at, at FROM made
        RETURNING id
    ), contacts AS (
        INSERT INTO contacts (tenant_id, id, account_id, email, email_key, owner_id, external_id, archived_at,
                              created_at, updated_at)
        SELECT $1, id, id, 'p' || n || '@firm.example', 'p' || n || '@firm.example', owner, 'x' || n, archived, at, at
          FROM made
    ), submissions AS (
        INSERT INTO submissions (tenant_id, id, source_id, method, query, body, sha256, state, received_at)
        SELECT $1, id, CASE WHEN n % 1000 = 0 THEN $6::uuid ELSE $5::uuid END, 'POST', '', '', '',
               CASE WHEN n % 2000 = 1 THEN 'quarantined' ELSE 'processed' END, at
          FROM made RETURNING id
    ), items AS (
        INSERT INTO submission_items (tenant_id, submission_id, index, source_id, verdict, lead_id)
        SELECT $1, id, 0, $5, 'lead', $7 FROM made WHERE n < 4
    ), audited AS (
        INSERT INTO audit (tenant_id, id, recorded_at, actor, act, subject, detail)
        SELECT $1, id, at, jsonb_build_object('id', CASE WHEN n % 900 = 0 THEN 'usr_00000000000000000000000002'
                                                        ELSE 'usr_00000000000000000000000001' END),
               CASE WHEN n % 800 = 0 THEN 'key.created' ELSE 'key.read' END,
               CASE WHEN n % 700 = 0 THEN 'key_00000000000000000000000002'
                    ELSE 'key_00000000000000000000000001' END, '{}' FROM made
    )
    INSERT INTO opportunities (tenant_id, id, name, stage, class, stage_entered_at, account_id, contact_id, owner_id,
                               policy_id, business, external_id, archived_at, created_at, updated_at)
    SELECT $1, id, 'Deal', CASE WHEN n % 700 = 0 THEN $9 ELSE $8 END,
           CASE WHEN n % 700 = 0 THEN 'won' ELSE 'unqualified' END, at, id, id, owner, $4,
           CASE WHEN n % 600 = 0 THEN 'existing' ELSE 'new' END, 'x' || n, archived, at, at FROM made
"""
PAIRS: Final = """
    INSERT INTO duplicates (tenant_id, id, one_id, other_id, state, score, created_at, updated_at)
    SELECT $1, gen_random_uuid(), one_id, other_id, CASE WHEN n % 500 = 0 THEN 'not_duplicate' ELSE 'open' END,
           CASE WHEN n % 500 = 1 THEN 99 ELSE 90 END, now() - n * interval '1 minute', now()
      FROM (SELECT row_number() OVER (ORDER BY id) AS n, id AS one_id, lead(id) OVER (ORDER BY id) AS other_id
              FROM leads WHERE tenant_id = $1 ORDER BY id LIMIT 6000) pairs WHERE other_id IS NOT NULL
"""


class Filled:
    """A tenant with many rows, and the values of each filter: common ones, rare ones, and some that match nothing."""

    def __init__(self, key: str, tenant_id: UUID, made: dict[str, list[UUID]]) -> None:
        self.key, self.tenant_id, self.made = key, tenant_id, made

    def filters(self) -> dict[str, dict[str, list[str]]]:
        owners, sources = ([ids.show(kind, one) for one in self.made[kind]] for kind in ("user", "source"))
        record = {"external_id": ["x77", "none"], "owner_id": owners, "archived": ["true", "false"]}
        return {
            "/v1/leads": {
                "stage": ["inquiry", "mql", "sal", "sql", "recycled"],
                "owner_id": owners,
                "account_id": [ids.show("account", ids.new_id())],
                "email": ["nobody@x.example"],
                "phone": ["+40215550100"],
                "external_id": ["crm:none"],
                "temperature": ["hot", "warm", "cold"],
                "sla": ["due", "breached"],
                "source": sources,
                "campaign": ["spring", "rare", "none"],
                "channel": ["web_form", "phone", "partner", "trade_show"],
                "q": ["a", "anna", "müller", "anna müller", "nordsoft12", "gmail.com", "zzz", "anna zzz"],
                **{
                    f"{member}_{side}": list(INSTANTS)
                    for member in ("created", "updated")
                    for side in ("after", "before")
                },
            },
            "/v1/submissions": {
                "state": ["processed", "quarantined", "received"],
                "source_id": sources,
                "lead_id": [ids.show("lead", one) for one in self.made["lead"]],
                "verdict": ["lead", "spam", "quarantined"],
            },
            "/v1/duplicates": {
                "state": ["open", "not_duplicate", "merged"],
                "lead_id": [ids.show("lead", one) for one in self.made["lead"]],
                "min_score": ["1", "95", "99"],
            },
            "/v1/audit": {
                "act": ["key.read", "key.created", "lead.erased"],
                "subject": [f"key_{n:026}" for n in (1, 2, 3)],
                "actor": [f"usr_{n:026}" for n in (1, 2, 3)],
                "from": list(INSTANTS),
                "to": list(INSTANTS),
            },
            "/v1/accounts": {**record, "domain": ["firm7.example", "none.example"]},
            "/v1/contacts": {
                **record,
                "email": ["p7@firm.example", "none@firm.example"],
                "account_id": [ids.show("account", ids.new_id())],
            },
            "/v1/opportunities": {
                **record,
                "account_id": [ids.show("account", ids.new_id())],
                "contact_id": [ids.show("contact", ids.new_id())],
                "stage": ["qualified", "won", "proposal"],
                "class": ["unqualified", "won", "lost"],
                "business": ["new", "existing"],
                "forecast_category": ["commit", "omitted", "closed"],
                "slipped": ["true", "false"],
            },
        }


async def fill(api: Api, tenant_id: UUID, key: str, count: int, stages: tuple[str, ...]) -> Filled:
    sources = [ids.new_id() for _ in range(3)]
    people = [
        await api.call("POST", "/v1/users", {"name": n, "email": f"{n}@a.example", "role": "sdr"}, key=key)
        for n in "abc"
    ]
    owners = [ids.read("user", answer.json()["id"]) for answer in people]
    in_turn = [sources[0]] * 999 + [sources[1]]
    owned = [owners[0], None, None] * 300 + [owners[1]]
    database: Database = api.app.state.engine
    url = api.app.state.settings.database_url.replace("+asyncpg", "")
    await fill_leads(url, tenant_id, count, sources=in_turn, owners=owned, stages=stages)
    async with database.begin() as tx:
        policy = await tx.driver.fetchval("SELECT id FROM policies WHERE tenant_id = $1", tenant_id)
        lead = await tx.driver.fetchval("SELECT id FROM leads WHERE tenant_id = $1 LIMIT 1", tenant_id)
        await tx.driver.execute(RECORDS, tenant_id, *owners[:2], policy, *sources[:2], lead, "qualified", "won")
        await tx.driver.execute(PAIRS, tenant_id)
    return Filled(key, tenant_id, {"user": owners, "source": sources, "lead": [lead, ids.new_id()]})


async def faults_of(api: Api, tenant: Filled, path: str, params: dict[str, str], most: int) -> list[str]:
    """What the first two pages of this list read too much."""
    database: Database = api.app.state.engine
    found = []
    for page in (1, 2):
        with statements_of(database) as ran:
            answer = await api.call("GET", path, params={**params, "limit": str(LIMIT)}, key=tenant.key)
        assert answer.status_code == 200, (params, answer.text)
        assert any(
            f"FROM {path.removeprefix('/v1/')}" in " ".join(query.split()) or "q" in params for query, _ in ran
        ), ran
        following = answer.json()["next"]
        async with database.begin() as tx:
            await tx.plan_for_values()
            plans = [await explained(tx, statement) for statement in ran]
        read = sum(map(rows_read, plans))
        if read > most:
            costly = max(plans, key=rows_read)
            found.append(f"{path} {params} page {page}: {read:.0f} rows, at most {most}: {outline(costly)}")
        if following is None:
            break
        params = {**params, "cursor": following}
    return found


async def test_each_list_reads_about_what_it_returns(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in {"MOST_READ": MOST_READ, "MOST_RANKED": 700, "MOST_LOOKED_UP": 100}.items():
        monkeypatch.setattr(f"app.leads.find.{name}", most)
    made = await api.post("/v1/tenants", {"name": "Other"})
    other_id, other_key = ids.read("tenant", made["tenant"]["id"]), made["key"]["secret"]
    tenants = [
        await fill(api, api.tenant_id, api.key, BIG, ("inquiry",) * 900 + ("mql",) * 99 + ("sal",)),
        await fill(api, other_id, other_key, OTHER, ("recycled",) * 99 + ("sql",)),
    ]
    async with api.app.state.engine.begin() as tx:
        await tx.driver.execute(
            "UPDATE leads SET temperature = CASE WHEN fit < 40 THEN 'hot' ELSE 'cold' END WHERE tenant_id = $1",
            other_id,
        )
    async with api.app.state.engine.connect() as tx:
        await tx.driver.execute("VACUUM (ANALYZE)", timeout=300)
    page = (LIMIT + 1) * ROWS_OF_ONE
    faults = []
    for tenant, (path, filters) in product(tenants, tenants[0].filters().items()):
        for params in [{}, *({name: value} for name, values in filters.items() for value in values)]:
            for sort in SORTS if path == "/v1/leads" else ("",):
                # An index has one order. In another, rows are read in the order of the list until the page is full, or
                # all matches are sorted, whichever is less: at worst twice the root of page times rows.
                most = page + (2 * isqrt((LIMIT + 1) * BIG) if sort not in ("", "created_at") else 0)
                if "q" in params:
                    most += _most_of_search(params["q"])
                faults += await faults_of(api, tenant, path, params | ({"sort": sort} if sort else {}), most)
    assert not faults, "\n".join(faults)


def _most_of_search(search: str) -> int:
    """Each word is counted, found and looked up; where all are too common, each leaves one of so many leads."""
    words = search.split()
    return 3 * MOST_READ * len(words) + (LIMIT + 1) * (BIG // MOST_READ) ** len(words)


def test_the_lists_that_the_document_publishes_are_read_here_with_each_filter(api: Api) -> None:
    lists = {
        path: {one["name"] for one in get.get("parameters", ()) if one["in"] == "query"}
        for path, operations in api.app.openapi()["paths"].items()
        if (get := operations.get("get")) and any(one["name"] == "limit" for one in get.get("parameters", ()))
    }
    covered: dict[str, Any] = Filled("", ids.new_id(), {"user": [], "source": [], "lead": []}).filters()
    assert {path: names - PAGES for path, names in lists.items() if path not in SHORT} == {
        path: set(filters) for path, filters in covered.items()
    }
