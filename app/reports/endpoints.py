"""/v1/reports: every report of the table with its evidence, and what tenants set for them."""

from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Query, Response

from app.errors import CursorInvalid, NotAcceptable
from app.reports import bands, costs
from app.reports.formats import SHOWN, written
from app.reports.names import named
from app.reports.read import read_evidence, read_report
from app.reports.report import Report
from app.reports.schemas import BandsOut, BandsPut, CampaignCost, CostList, CostPut, EvidencePage, ReportOut
from app.reports.table import REPORTS
from app.web.auth import Caller, allowed
from app.web.fields import Instant, answer
from app.web.pages import Cursor, Limit
from app.web.problems import declared, router
from app.web.transacted import InTx, Now

api = router("/v1", "reports")
Reader = Annotated[Caller, allowed("reports:read")]
Admin = Annotated[Caller, allowed("admin")]
Accept = Annotated[str, Header(include_in_schema=False)]
CampaignName = Annotated[str, Path(description="As leads have it in `attribution`.")]
AsOf = Annotated[Instant | None, Query(description="The costs that held then; left out: now.")]
METRIC: Final = "The name of the metric."
KEY: Final = "The key of the group; left out: the group without one."


@api.get("/reports/bands", response_model=BandsOut)
async def get_bands(caller: Reader, tx: InTx, now: Now) -> Response:
    """The bands of rates: the tenant's own, else those of the policy, else the usual ones."""
    return answer(await bands.read_bands(tx, caller.tenant_id, now))


@api.put("/reports/bands", response_model=BandsOut)
async def put_bands(body: BandsPut, caller: Admin, tx: InTx, now: Now) -> Response:
    """Set the tenant's own bands, all of them. Reports as of an earlier instant keep those of then."""
    return answer(await bands.set_bands(tx, caller, body, now))


@api.put("/campaigns/{name:path}/cost", response_model=CampaignCost)
async def put_cost(name: CampaignName, body: CostPut, caller: Admin, tx: InTx, now: Now) -> Response:
    """Set what a campaign cost in a period. Reports as of an earlier instant keep what held then."""
    return answer(await costs.set_cost(tx, caller, name, body, now))


@api.get("/campaigns/{name:path}/cost", response_model=CostList)
async def list_costs(name: CampaignName, caller: Reader, tx: InTx, now: Now, as_of: AsOf = None) -> Response:
    """What a campaign cost in each period."""
    listed = await costs.list_costs(tx, caller.tenant_id, name, as_of, now)
    return answer({"campaign": name, "data": listed, "next": None})


def _add(report: Report) -> None:
    """Adds the routes of a report: its numbers, and the rows that they count."""

    async def read(
        caller: Reader, tx: InTx, now: Now, asked: Any = Depends(report.parameters), accept: Accept = "*/*"
    ) -> Response:
        document = await read_report(tx, caller.tenant_id, report, asked, now)
        shown = await named(tx, caller.tenant_id, document, asked.by, accept, report.formats)
        content, kind = written(shown, accept, report.formats)
        return Response(content, media_type=kind, headers={"Vary": "Accept"})

    async def page(
        caller: Reader,
        tx: InTx,
        now: Now,
        metric: Annotated[str, Query(max_length=200, description=METRIC)],
        asked: Any = Depends(report.parameters),
        key: Annotated[str | None, Query(max_length=1000, description=KEY)] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        return answer(await read_evidence(tx, caller.tenant_id, report, asked, now, metric, key, limit, cursor))

    api.get(
        f"/reports/{report.name}",
        name=f"get_{report.name}_report",
        description=report.about,
        response_model=ReportOut,
        responses={**SHOWN, **declared(NotAcceptable)},
    )(read)
    api.get(
        f"/reports/{report.name}/evidence",
        name=f"list_{report.name}_evidence",
        description="The rows of one metric and group: all of the denominator, `counted` those of the numerator.",
        response_model=EvidencePage,
        responses=declared(CursorInvalid),
    )(page)


for _report in REPORTS:
    _add(_report)
