"""Counts of days and months of UTC: how they follow from rows of a derived table, are read and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import TextClause, text

from app.reports.derived_sql import COMPLETE

FRESH, STALE, EDGES = (
    f"(SELECT *, {journeys} AS journeys FROM {rows})"  # noqa: S608 - interpolates what is written here
    for journeys, rows in ((1, "fresh"), (-1, "stale"), (1, "edges"))
)
# What a batch changes; while all rows are made anew, counts begin with nothing.
CHANGED: Final = """
    (WITH counted AS (SELECT * FROM stale WHERE NOT :anew)
     SELECT *, 1 AS journeys FROM (TABLE fresh EXCEPT TABLE counted) f
     UNION ALL SELECT *, -1 FROM (TABLE counted EXCEPT TABLE fresh) s)
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Two tables with the same columns: of days, and of months, which are named by their first day.

    `on`: the column of the day; `key`: the others of the primary key; `values`: those that follow from it; `sums`: what
    is added up, `journeys` first; all separated by blanks. `made`: the SQL of what the rows `{ROWS}`, which have the
    sign `journeys`, add to these columns, and the instant `at` of each.
    """

    days: str
    months: str
    on: str
    key: str
    values: str
    sums: str
    made: str

    @property
    def columns(self) -> str:
        """What a report counts by, and what it adds up."""
        return ", ".join(f"d.{column}" for column in (*self._counted, *self.sums.split()))

    @property
    def _counted(self) -> list[str]:
        return [one for one in (*self.key.split(), *self.values.split()) if one != "cell"]

    def fold(self) -> str:
        """SQL of CTEs that change both tables by the difference of the rows `fresh` and `stale`."""
        month = f"date_trunc('month', {self.on}::timestamp)::date"
        changed = self.made.replace("{ROWS}", CHANGED)
        return (
            f", changed AS MATERIALIZED ({changed})" + self._added(self.days, self.on) + self._added(self.months, month)
        )

    def _added(self, table: str, day: str) -> str:
        key, values, sums = self.key.split(), self.values.split(), self.sums.split()
        columns = ", ".join([*key, *values])
        return f"""
            , added_to_{table} AS (
                INSERT INTO {table} AS c (tenant_id, {self.on}, {columns}, {", ".join(sums)})
                SELECT :tenant_id, {day}, {columns}, {", ".join(f"sum({one})" for one in sums)} FROM changed
                 GROUP BY {day}, {columns} HAVING {" OR ".join(f"sum({one}) <> 0" for one in sums)}
                 ORDER BY {day}, {", ".join(key)}
                ON CONFLICT (tenant_id, {self.on}, {", ".join(key)})
                   DO UPDATE SET {", ".join(f"{one} = c.{one} + EXCLUDED.{one}" for one in sums)}
            )"""  # noqa: S608 - interpolates what is written in this package, here and below

    def seen(self, condition: str = "true") -> str:
        """SQL of what a window has as of now, in parts that have to be added up: whole months and days, the parts of
        days at its ends (rows `edges`), and of journeys that were touched since what they count now without what they
        counted (`fresh`, `stale`)."""
        of_days = f"d.{self.on} >= :first_day AND d.{self.on} < :last_day"
        in_window = "d.at >= :start AND d.at < :end"
        parts = [
            (self.days, self._range("first_day", "first_month")),
            (self.months, self._range("first_month", "last_month")),
            (self.days, self._range("last_month", "last_day")),
            (self._of(FRESH), in_window),
            (self._of(STALE), of_days),
            (self._of(EDGES), f"{in_window} AND NOT ({of_days})"),
        ]
        return " UNION ALL ".join(
            f"SELECT {self.columns} FROM {rows} d WHERE {where} AND {condition}"  # noqa: S608
            for rows, where in parts
        )

    def _range(self, first: str, last: str) -> str:
        return f"d.tenant_id = :tenant_id AND d.{self.on} >= :{first} AND d.{self.on} < :{last}"

    def _of(self, rows: str) -> str:
        return f"({self.made.replace('{ROWS}', rows)})"

    def wrong(self, table: str) -> TextClause:
        """The statement of the counts that differ from what all rows of `table` add up to."""
        rows = self.made.replace("{ROWS}", f"(SELECT *, 1 AS journeys FROM {table} WHERE tenant_id = :tenant_id)")  # noqa: S608
        return text(
            " UNION ALL ".join(
                self._wrong(kind, counts, day, rows)
                for kind, counts, day in (
                    ("day", self.days, self.on),
                    ("month", self.months, f"date_trunc('month', {self.on}::timestamp)::date"),
                )
            )
            + " LIMIT :limit"
        )

    def _wrong(self, kind: str, counts: str, day: str, rows: str) -> str:
        counted, sums = ", ".join(self._counted), self.sums.split()
        names = [one.strip('"') for one in self._counted]
        shown = ", ".join(f"'{name}', {one}" for name, one in zip(names, self._counted, strict=True))
        stored = ", ".join(f"{one} AS stored_{one}, 0 AS due_{one}" for one in sums)
        due = ", ".join(f"0, {one}" for one in sums)
        return f"""
            (SELECT '{kind}' AS kind, day::text AS "on", jsonb_build_object({shown}) AS of,
                    sum(stored_journeys)::bigint AS stored, sum(due_journeys)::bigint AS expected
               FROM (SELECT {self.on} AS day, {counted}, {stored} FROM {counts} WHERE tenant_id = :tenant_id
                     UNION ALL SELECT {day}, {counted}, {due} FROM ({rows}) r) d
              GROUP BY day, {counted}
             HAVING ({" OR ".join(f"sum(stored_{one}) <> sum(due_{one})" for one in sums)})
                    AND EXISTS (SELECT FROM summary_cursors c
                                 WHERE c.tenant_id = :tenant_id AND c.built_to IS NULL AND {COMPLETE}))
        """  # noqa: S608
