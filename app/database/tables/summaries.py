"""What reports of long windows read instead of milestones: derived rows, which can be made anew at any time.

See docs/decisions/0089.
"""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, DateTime, Index, Integer, LargeBinary, Numeric, Text

from app.database.tables.columns import instant, string, tenant_table, uuid

# The milestones that a journey has now, by name; no row for a journey without any, or that a merge has closed.
journey_summaries = tenant_table(
    "journey_summaries",
    uuid("journey_id", null=False, primary_key=True),
    string("business", null=False),
    Column("names", ARRAY(Text), nullable=False),
    Column("instants", ARRAY(DateTime(timezone=True)), nullable=False),
    Column("skips", ARRAY(Boolean), nullable=False),
)

# How many journeys reached the milestone `name` on a day of UTC, or in a month, and `to` within so many days after it,
# rounded up. `skipped`: one of both was passed over. The pair of a milestone with itself counts those that reached it.
milestone_counts, milestone_months = (
    tenant_table(
        name,
        Column("reached_on", Date, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("to", Text, primary_key=True),
        Column("business", Text, primary_key=True),
        Column("skipped", Boolean, primary_key=True, nullable=False),
        Column("days", Integer, primary_key=True, autoincrement=False),
        Column("journeys", BigInteger, nullable=False),
    )
    for name in ("milestone_counts", "milestone_months")
)

# A milestone that a journey reached, with all those that it has now (as in its summary), and when it entered a closed
# stage other than that of conversion, if it is in one.
milestone_times = tenant_table(
    "milestone_times",
    uuid("journey_id", null=False, primary_key=True),
    string("name", null=False, primary_key=True),
    string("business", null=False),
    instant("reached_at", null=False),
    Column("skipped", Boolean, nullable=False),
    Column("names", ARRAY(Text), nullable=False),
    Column("instants", ARRAY(DateTime(timezone=True)), nullable=False),
    Column("skips", ARRAY(Boolean), nullable=False),
    instant("ended_at"),
    Index("milestone_times_reached_at_idx", "tenant_id", "name", "reached_at"),
)

# Each entry of a journey into a stage, by the number of its transition. `microseconds`: until it left it for another
# stage; null while it is in it.
stage_times = tenant_table(
    "stage_times",
    uuid("journey_id", null=False, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    string("stage", null=False),
    instant("entered_at", null=False),
    Column("microseconds", BigInteger),
    Index(
        "stage_times_entered_at_idx",
        "tenant_id",
        "stage",
        "entered_at",
        postgresql_include=["microseconds", "journey_id"],
    ),
)

# Where a journey comes from, by both touches of its lead, and how far it came: the milestones that it has now, whether
# it has a conversion that was not reverted, and the amount of its deal if that is won.
journey_origins = tenant_table(
    "journey_origins",
    uuid("journey_id", null=False, primary_key=True),
    instant("opened_at", null=False),
    string("business", null=False),
    *(string(f"{touch}_{member}") for touch in ("first", "last") for member in ("source", "medium", "campaign")),
    Column("amount", Numeric),
    string("currency"),
    Column("converted", Boolean, nullable=False),
    Column("reached", ARRAY(Text), nullable=False),
    Index("journey_origins_opened_at_idx", "tenant_id", "opened_at"),
)

# Of the journeys that began on a day of UTC, or in a month: how many have a business, or a member of a touch, and got
# so far, and the sum of what they won. `cell` is the hash of the key, which may be long, and of what follows it.
origin_counts, origin_months = (
    tenant_table(
        name,
        string("member", null=False, primary_key=True),
        Column("opened_on", Date, primary_key=True),
        Column("cell", LargeBinary, primary_key=True),
        string("key"),
        Column("converted", Boolean, nullable=False),
        Column("reached", ARRAY(Text), nullable=False),
        string("currency"),
        Column("journeys", BigInteger, nullable=False),
        Column("amount", Numeric, nullable=False),
    )
    for name in ("origin_counts", "origin_months")
)

# Until which event of the log the summaries of a tenant have seen everything, and what was recorded by `as_of`.
# `built_to` is null, or how far they have been made for the journeys that there were before. The others repeat
# `position` and `built_to`: they do not where a release moved the cursor that did not know all of the tables.
summary_cursors = tenant_table(
    "summary_cursors",
    Column("position", BigInteger, nullable=False),
    instant("as_of", null=False),
    uuid("built_to"),
    Column("times_position", BigInteger),
    uuid("times_built_to"),
    Column("counts_position", BigInteger),
    uuid("counts_built_to"),
)
