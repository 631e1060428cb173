"""/v1/reports/forecast and what changed since a week; quotas, rates, judgements and snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Query, Response

from app.errors import CursorInvalid, HumanRequired, NotAcceptable, RoleNotAllowed, UserNotFound
from app.forecast import explain, formats, judge, quotas, rates, report, sql
from app.forecast.schemas import (
    ChangeEvidencePage,
    ChangesOut,
    CurrentRates,
    ForecastEvidencePage,
    ForecastOut,
    JudgementHistory,
    JudgementOut,
    JudgementPut,
    PeriodName,
    QuotaList,
    QuotasPut,
    RatesOut,
    RatesPut,
    SnapshotList,
)
from app.reports.formats import SHOWN, Document, Formats, written
from app.reports.names import named
from app.reports.report import Origin
from app.web.auth import Caller, allowed
from app.web.fields import Instant, UserId, answer, rfc3339
from app.web.pages import Cursor, Limit, read_cursor, write_cursor
from app.web.problems import declared, router
from app.web.transacted import InTx, Now

api = router("/v1", "forecast")
Reader = Annotated[Caller, allowed("reports:read")]
Writer = Annotated[Caller, allowed("leads:write")]
Admin = Annotated[Caller, allowed("admin")]
QueryName = Annotated[PeriodName, Query()]
Owner = Annotated[UserId | None, Query(description="This person and all below; left out: everybody.")]
Accept = Annotated[str, Header(include_in_schema=False)]
ORIGIN: Final = "Only opportunities that came from a lead (hunters), or from none (farmers); left out: both."
REPORT: Final[dict[int | str, dict[str, Any]]] = {**SHOWN, **declared(NotAcceptable)}
AsOf = Annotated[Instant | None, Query(description="What was recorded until then counts; left out: now.")]


@dataclass(frozen=True)
class ForecastParameters:
    """Of whom, of when, and how many levels."""

    period: Annotated[PeriodName | None, Query(description="Left out: the present quarter.")] = None
    owner: Owner = None
    level: Annotated[int | None, Query(ge=0, le=100, description="Levels below; left out: all.")] = None
    origin: Annotated[Origin | None, Query(description=ORIGIN)] = None
    as_of: AsOf = None

    def asked(self) -> report.Asked:
        return report.Asked(self.period, self.owner, self.level, self.origin, self.as_of)


@dataclass(frozen=True)
class ChangesParameters:
    """Of which period, since which week, and of whom."""

    period: QueryName
    since: Annotated[PeriodName, Query(description="A week like 2026-W47: from its beginning on.")]
    until: Annotated[PeriodName | None, Query(description="Until the beginning of this week; left out: now.")] = None
    owner: Owner = None
    as_of: AsOf = None

    def asked(self) -> explain.Asked:
        return explain.Asked(self.period, self.since, self.until, self.owner, self.as_of)


def _page(rows: Sequence[Mapping[str, Any]], limit: int, cursor: str | None, filters: Mapping[str, Any]) -> Response:
    """A page of rows that are sorted by the id of their opportunity."""
    (after,) = read_cursor(cursor, filters, 1) if cursor is not None else ("",)
    if not isinstance(after, str):
        raise CursorInvalid.of("cursor", "The cursor is malformed: use `next` of the page before.")
    following = [row for row in rows if row["opportunity_id"] > after]
    more = len(following) > limit
    next_cursor = write_cursor(filters, following[limit - 1]["opportunity_id"]) if more else None
    return answer({"data": following[:limit], "next": next_cursor})


def _report(document: Document, accept: str, known: Formats) -> Response:
    content, kind = written(document, accept, known)
    return Response(content, media_type=kind, headers={"Vary": "Accept"})


@api.get("/reports/forecast", response_model=ForecastOut, responses=REPORT)
async def get_forecast(
    caller: Reader, tx: InTx, now: Now, asked: Annotated[ForecastParameters, Depends()], accept: Accept = "*/*"
) -> Response:
    """What each person will close in a period, and all who report to him, beside quota and judgement."""
    found = await report.read_forecast(tx, caller.tenant_id, asked.asked(), now)
    shown = await named(tx, caller.tenant_id, found, "owner", accept, formats.FORECAST)
    return _report(shown, accept, formats.FORECAST)


@api.get("/reports/forecast/evidence", response_model=ForecastEvidencePage, responses=declared(CursorInvalid))
async def list_forecast_evidence(
    caller: Reader,
    tx: InTx,
    now: Now,
    asked: Annotated[ForecastParameters, Depends()],
    metric: Annotated[str, Query(max_length=20, description="The name of a metric.")],
    key: Annotated[str | None, Query(max_length=40, description="The key of a group, or `nobody`.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The opportunities of a group in the period, `counted` those that the metric counts."""
    wanted = asked.asked()
    return answer(await report.read_evidence(tx, caller.tenant_id, wanted, metric, key, now, limit, cursor))


@api.get("/reports/forecast/changes", response_model=ChangesOut, responses=REPORT)
async def get_forecast_changes(
    caller: Reader, tx: InTx, now: Now, asked: Annotated[ChangesParameters, Depends()], accept: Accept = "*/*"
) -> Response:
    """How the open opportunities of a period have changed since a weekly snapshot; the parts add up exactly."""
    wanted = asked.asked()
    found = await explain.explain(tx, caller.tenant_id, wanted, now)
    return _report(explain.show_changes(wanted, found), accept, formats.CHANGES)


@api.get("/reports/forecast/changes/evidence", response_model=ChangeEvidencePage, responses=declared(CursorInvalid))
async def list_forecast_changes_evidence(
    caller: Reader,
    tx: InTx,
    now: Now,
    asked: Annotated[ChangesParameters, Depends()],
    part: Annotated[str, Query(max_length=20, description="The name of a part.")],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The opportunities of a part, each with what it adds to it."""
    found = await explain.explain(tx, caller.tenant_id, asked.asked(), now)
    return _page(explain.show_evidence(found, part), limit, cursor, {**vars(asked), "part": part})


@api.get("/snapshots", response_model=SnapshotList)
async def list_snapshots(caller: Reader, tx: InTx) -> Response:
    """The weeks at whose beginning the open opportunities were kept."""
    rows = await sql.snapshots_of(tx, caller.tenant_id, explain.MOST_SNAPSHOTS)
    return answer({"data": [{"week": row.week, "at": rfc3339(row.at)} for row in rows], "next": None})


@api.put("/quotas", response_model=QuotaList)
async def put_quotas(body: QuotasPut, caller: Admin, tx: InTx, now: Now) -> Response:
    """Set quotas of people for periods. Reports as of an earlier instant keep those of then."""
    return answer({"data": await quotas.set_quotas(tx, caller, body.quotas, now), "next": None})


@api.get("/quotas", response_model=QuotaList)
async def list_quotas(caller: Reader, tx: InTx, now: Now, period: QueryName) -> Response:
    """The quotas of a period."""
    return answer({"data": await quotas.list_quotas(tx, caller, period, now), "next": None})


@api.put("/rates", response_model=RatesOut)
async def put_rates(body: RatesPut, caller: Admin, tx: InTx, now: Now) -> Response:
    """Set all rates of exchange. Reports as of an earlier instant keep those of then."""
    return answer(await rates.set_rates(tx, caller, body, now))


@api.get("/rates", response_model=CurrentRates)
async def get_rates(caller: Reader, tx: InTx, now: Now) -> Response:
    """The rates of exchange that hold now."""
    return answer({"rates": rates.show_rates(await sql.rates_at(tx, caller.tenant_id, now))})


@api.put(
    "/forecasts/{period}/{user_id}",
    response_model=JudgementOut,
    responses=declared(UserNotFound, HumanRequired, RoleNotAllowed),
)
async def put_judgement(
    period: PeriodName, user_id: UserId, body: JudgementPut, caller: Writer, tx: InTx, now: Now
) -> Response:
    """Say what a person and all below will close, beside the sum: the person, or anybody above, or an admin."""
    return answer(await judge.judge(tx, caller, period, user_id, body, now))


@api.get("/forecasts/{period}/{user_id}", response_model=JudgementHistory, responses=declared(UserNotFound))
async def list_judgements(period: PeriodName, user_id: UserId, caller: Reader, tx: InTx, now: Now) -> Response:
    """The judgements about a person in a period, newest first."""
    return answer(await judge.judgements_of(tx, caller, period, user_id, now))
