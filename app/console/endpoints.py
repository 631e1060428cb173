"""The pages at /console. They are not in the OpenAPI document: programs use the API."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app import ids
from app.console import (
    accounts,
    forecast,
    leads,
    opportunities,
    pipeline,
    policies,
    render,
    reports,
    sources,
    subscriptions,
)
from app.console.attempts import Attempts
from app.console.today import today
from app.console.visit import AsGuest, Guest, InVisit, Shown, Visit
from app.errors import KeyUnknown, LoginLinkInvalid, NotFound
from app.tenants import sessions
from app.web.client_address import address_of, client_key
from app.web.fields import AccountId, LeadId, OpportunityId, PolicyId, SourceId, SubmissionId, SubscriptionId

Position = Annotated[int, Path(ge=0, le=2**63 - 1)]
LOGIN: Final = "/console/session"
pages = APIRouter(prefix="/console", route_class=Shown, include_in_schema=False)


class Static(StaticFiles):
    """The stylesheet and the script."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "max-age=3600"
        return response


def serve(app: FastAPI) -> None:
    """Adds the console to the application."""
    app.state.console_attempts = Attempts()
    app.mount("/console/static", Static(directory=render.STATIC), name="console")
    app.router.routes.extend(pages.routes)


@pages.get("/session")
async def login_page(guest: AsGuest, link: str | None = None) -> Response:
    """The form that takes an API key; with the token of a login link, logs in by that."""
    if link is None:
        return guest.page("login.html", problem=None)
    _count_attempt(guest)
    try:
        token = await guest.in_transaction(lambda tx: sessions.open_with_link(tx, link, guest.now))
    except LoginLinkInvalid as problem:
        return guest.page("login.html", problem.status, problem=problem.document())
    return guest.logged_in(token)


@pages.post("/session")
async def log_in(guest: AsGuest) -> Response:
    _count_attempt(guest)
    key = (await guest.form()).get("key", "").strip()
    try:
        token = await guest.in_transaction(lambda tx: sessions.open_with_key(tx, key, guest.now))
    except KeyUnknown as problem:
        return guest.page("login.html", problem.status, problem=problem.document())
    return guest.logged_in(token)


@pages.post("/session/end")
async def log_out(visit: InVisit) -> Response:
    await visit.form()
    await visit.in_transaction(lambda tx: sessions.close(tx, visit.token))
    return visit.logged_out()


@pages.get("")
@pages.get("/")
async def show_today(visit: InVisit) -> Response:
    return visit.page("today.html", **await today(visit.api, visit.now))


@pages.get("/leads")
async def list_leads(
    visit: InVisit,
    q: str | None = None,
    stage: str | None = None,
    owner_id: str | None = None,
    temperature: str | None = None,
    sla: str | None = None,
    cursor: str | None = None,
) -> Response:
    filters = {"q": q, "stage": stage, "owner_id": owner_id, "temperature": temperature, "sla": sla}
    return visit.page("leads.html", **await leads.leads(visit.api, filters, cursor))


@pages.get("/leads/{lead_id}")
async def show_lead(visit: InVisit, lead_id: LeadId) -> Response:
    return visit.page("lead.html", **await leads.lead(visit.api, ids.show("lead", lead_id)))


@pages.get("/accounts")
async def list_accounts(visit: InVisit) -> Response:
    return visit.page("accounts.html", **await accounts.accounts(visit.api, visit.asked("domain", "cursor")))


@pages.get("/accounts/{account_id}")
async def show_account(visit: InVisit, account_id: AccountId) -> Response:
    """One account; `people`, `opportunities` and `timeline` are the cursors of its parts."""
    cursors = visit.asked(*accounts.PARTS)
    return visit.page("account.html", **await accounts.account(visit.api, ids.show("account", account_id), cursors))


@pages.get("/opportunities/{opportunity_id}")
async def show_opportunity(visit: InVisit, opportunity_id: OpportunityId) -> Response:
    shown = await opportunities.opportunity(visit.api, ids.show("opportunity", opportunity_id))
    return visit.page("opportunity.html", **shown)


async def _report_asked(
    visit: InVisit,
    from_: Annotated[str | None, Query(alias="from")] = None,
    to: str | None = None,
    as_of: str | None = None,
    by: str | None = None,
) -> dict[str, str]:
    return reports.window({"from": from_, "to": to, "as_of": as_of, "by": by}, await visit.today())


ReportAsked = Annotated[dict[str, str], Depends(_report_asked)]


def _row_asked(
    asked: ReportAsked, metric: str = "", key: str | None = None, cursor: str | None = None
) -> dict[str, str]:
    of_rows = {"metric": metric, "key": key, "cursor": cursor}
    return {**asked, **{name: value for name, value in of_rows.items() if value is not None}}


@pages.get("/reports")
async def list_reports(visit: InVisit) -> Response:
    return visit.page("reports.html", **reports.reports())


@pages.get("/reports/{name}")
async def show_report(visit: InVisit, name: str, asked: ReportAsked) -> Response:
    shown = await reports.report(visit.api, name, asked)
    return visit.page("report.html", shown["found"].status, **shown)


@pages.get("/reports/{name}/rows")
async def show_rows(visit: InVisit, name: str, asked: Annotated[dict[str, str], Depends(_row_asked)]) -> Response:
    shown = await reports.evidence(visit.api, name, asked)
    return visit.page("rows.html", shown["found"].status, **shown)


@pages.get("/reports/{name}/picture")
async def show_picture(visit: InVisit, name: str, asked: ReportAsked) -> Response:
    picture = await visit.api.picture(reports.path_of(name), **asked)
    return Response(picture, media_type="image/svg+xml", headers=render.HEADERS)


@pages.get("/reports/{name}/csv")
async def download_report(visit: InVisit, name: str, asked: ReportAsked) -> Response:
    return _download(await visit.api.written(reports.path_of(name), "text/csv", **asked), name)


@pages.get("/pipeline")
async def show_pipeline(visit: InVisit) -> Response:
    return visit.page("pipeline.html", **await pipeline.pipeline(visit.api, await visit.today()))


@pages.get("/forecast")
async def show_forecast(visit: InVisit, since: str | None = None) -> Response:
    shown = await forecast.forecast(visit.api, visit.asked(*forecast.ASKED), since)
    return visit.page("forecast.html", shown["found"].status, **shown)


@pages.get("/forecast/csv")
async def download_forecast(visit: InVisit) -> Response:
    table = await visit.api.written(forecast.FORECAST, "text/csv", **visit.asked(*forecast.ASKED))
    return _download(table, "forecast")


@pages.get("/forecast/rows")
async def show_forecast_rows(visit: InVisit) -> Response:
    asked = visit.asked(*forecast.ASKED, "metric", "key", "cursor")
    shown = await forecast.rows(visit.api, asked)
    return visit.page("forecast_rows.html", shown["found"].status, **shown)


@pages.get("/forecast/changes")
async def show_waterfall(visit: InVisit) -> Response:
    """What has changed since a week, as a picture."""
    picture = await visit.api.picture(forecast.CHANGES, **visit.asked(*forecast.CHANGES_ASKED))
    return Response(picture, media_type="image/svg+xml", headers=render.HEADERS)


@pages.get("/forecast/changes/rows")
async def show_changed_rows(visit: InVisit) -> Response:
    asked = visit.asked(*forecast.CHANGES_ASKED, "part", "cursor")
    shown = await forecast.changed_rows(visit.api, asked)
    return visit.page("changed_rows.html", shown["found"].status, **shown)


@pages.get("/sources")
async def list_sources(visit: InVisit) -> Response:
    return visit.page("sources.html", **await sources.sources(visit.api))


@pages.get("/sources/{source_id}")
async def show_source(visit: InVisit, source_id: SourceId, submission: SubmissionId | None = None) -> Response:
    """One source; `submission` fills in the dry run."""
    tried = ids.shown("submission", submission)
    return visit.page("source.html", **await sources.source(visit.api, ids.show("source", source_id), tried))


@pages.post("/sources/{source_id}/dry-run")
async def dry_run_source(visit: InVisit, source_id: SourceId) -> Response:
    shown = await sources.dry_run(visit.api, ids.show("source", source_id), await visit.form())
    return visit.page("source.html", shown["result"].status, **shown)


@pages.post("/sources/{source_id}/replay")
async def replay_source(visit: InVisit, source_id: SourceId) -> Response:
    return await _act(visit, f"/sources/{ids.show('source', source_id)}", "/replay")


@pages.post("/sources/{source_id}/submissions/{submission_id}/replay")
async def replay_submission(visit: InVisit, source_id: SourceId, submission_id: SubmissionId) -> Response:
    await visit.form()
    await visit.api.post(f"/v1/submissions/{ids.show('submission', submission_id)}/replay")
    return visit.redirect(f"/console/sources/{ids.show('source', source_id)}")


@pages.get("/subscriptions")
async def list_subscriptions(visit: InVisit) -> Response:
    return visit.page("subscriptions.html", **await subscriptions.subscriptions(visit.api))


@pages.get("/subscriptions/{subscription_id}")
async def show_subscription(visit: InVisit, subscription_id: SubscriptionId) -> Response:
    shown = await subscriptions.subscription(visit.api, ids.show("subscription", subscription_id))
    return visit.page("subscription.html", **shown)


@pages.post("/subscriptions/{subscription_id}/pause")
async def pause_subscription(visit: InVisit, subscription_id: SubscriptionId) -> Response:
    return await _act(visit, f"/subscriptions/{ids.show('subscription', subscription_id)}", "/pause")


@pages.post("/subscriptions/{subscription_id}/resume")
async def resume_subscription(visit: InVisit, subscription_id: SubscriptionId) -> Response:
    return await _act(visit, f"/subscriptions/{ids.show('subscription', subscription_id)}", "/resume")


@pages.post("/subscriptions/{subscription_id}/retry")
async def retry_dead(visit: InVisit, subscription_id: SubscriptionId) -> Response:
    return await _act(visit, f"/subscriptions/{ids.show('subscription', subscription_id)}", "/deliveries/retry", {})


@pages.post("/subscriptions/{subscription_id}/deliveries/{position}/retry")
async def retry_delivery(visit: InVisit, subscription_id: SubscriptionId, position: Position) -> Response:
    path = f"/subscriptions/{ids.show('subscription', subscription_id)}"
    return await _act(visit, path, f"/deliveries/{position}/retry")


@pages.get("/policies")
async def list_policies(visit: InVisit) -> Response:
    return visit.page("policies.html", **await policies.policies(visit.api))


@pages.get("/policies/{policy_id}")
async def show_policy(visit: InVisit, policy_id: PolicyId, against: PolicyId | None = None) -> Response:
    """One version; `against` is the version beside it."""
    beside = ids.shown("policy", against)
    shown = await policies.policy(visit.api, ids.show("policy", policy_id), beside, await visit.today())
    return visit.page("policy.html", **shown)


@pages.get("/policies/{policy_id}/diagram")
async def show_diagram(visit: InVisit, policy_id: PolicyId) -> Response:
    picture = await visit.api.picture(f"/v1/policies/{ids.show('policy', policy_id)}/diagram")
    return Response(picture, media_type="image/svg+xml", headers=render.HEADERS)


@pages.get("/{path:path}")
async def refuse_other_paths(visit: InVisit, path: str) -> Response:
    raise NotFound()


def _download(table: bytes, name: str) -> Response:
    headers = {**render.HEADERS, "Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(table, media_type="text/csv", headers=headers)


async def _act(visit: Visit, path: str, act: str, body: dict[str, object] | None = None) -> Response:
    """Does what the form asks for by the API's path of the same name, then shows the page of the record again."""
    await visit.form()
    await visit.api.post(f"/v1{path}{act}", body)
    return visit.redirect(f"/console{path}")


def _count_attempt(guest: Guest) -> None:
    """Counts an attempt to log in. Raises TooManyLogins."""
    request: Request = guest.request
    found = address_of(request, request.app.state.settings)
    request.app.state.console_attempts.take(client_key(found) if found else "", guest.now)
