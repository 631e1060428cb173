"""All reports. A report is a row here; its routes, formats and evidence follow from it."""

from __future__ import annotations

from typing import Final

from app.reports import (
    accounts,
    ageing,
    cohorts,
    feedback,
    funnel,
    ideal,
    pipeline,
    response,
    rules,
    sources,
    velocity,
    wins,
)
from app.reports.report import Report

REPORTS: Final[tuple[Report, ...]] = (
    funnel.REPORT,
    velocity.REPORT,
    wins.REPORT,
    sources.REPORT,
    feedback.REPORT,
    cohorts.REPORT,
    pipeline.REPORT,
    response.REPORT,
    ageing.REPORT,
    rules.REPORT,
    ideal.REPORT,
    accounts.REPORT,
)
