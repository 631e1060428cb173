"""Tables whose rows follow from the base, journey by journey: the SQL that makes rows anew, reads and compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ARRAY, Boolean, DateTime, TextClause, Uuid, bindparam, text

# Journeys that merges had closed by the instant.
GONE: Final = """
    SELECT g.closed_journey_id FROM lead_merges g
     WHERE g.tenant_id = :tenant_id AND g.closed_journey_id IS NOT NULL
       AND g.merged_at <= :as_of AND (g.unmerged_at IS NULL OR g.unmerged_at > :as_of)
"""
# The journeys of the leads of the events after a position, and of leads that were merged with these.
TOUCHED: Final = """
    WITH told AS (
        SELECT l.lead_id FROM event_log l
         WHERE l.tenant_id = :tenant_id AND l.position > :after AND {UNTIL} AND l.lead_id IS NOT NULL
        {MORE}
    ), merged AS (
        SELECT lead_id FROM told
        UNION SELECT m.survivor_id FROM lead_merges m
               WHERE m.tenant_id = :tenant_id AND m.merged_id IN (SELECT lead_id FROM told)
        UNION SELECT m.merged_id FROM lead_merges m
               WHERE m.tenant_id = :tenant_id AND m.survivor_id IN (SELECT lead_id FROM told)
    )
    SELECT j.id FROM journeys j WHERE j.tenant_id = :tenant_id AND j.lead_id IN (SELECT lead_id FROM merged)
"""
PENDING: Final = """
        UNION ALL
        SELECT e.lead_id FROM pending p JOIN events e ON e.tenant_id = p.tenant_id AND e.seq = p.seq
         WHERE p.tenant_id = :tenant_id AND e.lead_id IS NOT NULL
"""
# Those that events are about which the projector has not seen, sequenced or not.
UNSEEN: Final = TOUCHED.replace("{UNTIL}", "true").replace("{MORE}", PENDING)
# A cursor `c` that no release has moved which does not know all of the tables.
COMPLETE: Final = "(c.counts_position, c.counts_built_to) IS NOT DISTINCT FROM (c.position, c.built_to)"
OF_TOUCHED: Final = "SELECT id FROM touched"
OF_IDS: Final = "SELECT unnest(CAST(:ids AS uuid[]))"
OF_ALL: Final = "SELECT id FROM journeys WHERE tenant_id = :tenant_id"


@dataclass(frozen=True, slots=True)
class Derived:
    """A table with the columns `tenant_id`, those of its key (`journey_id` first) and others; both separated by blanks.

    `made`: from SQL of ids of journeys, the SQL of the rows that these should have as of the instant.
    """

    table: str
    key: str
    values: str
    made: Callable[[str], str]

    @property
    def columns(self) -> str:
        return ", ".join([*self.key.split(), *self.values.split()])

    def stored(self, journeys: str) -> str:
        """SQL of the rows that these journeys have."""
        return f"""
            SELECT {self.columns} FROM {self.table} WHERE tenant_id = :tenant_id AND journey_id IN ({journeys})
        """  # noqa: S608 - interpolates what is written in this package, here and below

    def seen(self, more: str = "", of_stored: str = "", of_made: str = "") -> str:
        """SQL of all rows `d` as of now: of journeys that were touched since (the CTE `touched`) those made anew.

        `more`: further columns, of what `of_stored` and `of_made` join to the rows of one and of the other.
        """
        columns = ", ".join(f"d.{column}" for column in self.columns.split(", ")) + more
        return f"""
            SELECT {columns} FROM {self.table} d {of_stored}
             WHERE d.tenant_id = :tenant_id AND d.journey_id NOT IN ({OF_TOUCHED})
             UNION ALL SELECT {columns} FROM ({self.made(OF_TOUCHED)}) d {of_made}
        """  # noqa: S608

    def fold(self, more: str = "") -> TextClause:
        """The statement that replaces the rows of the journeys `ids`. `more`: further CTEs, of `fresh` and `stale`."""
        same_key = _equal("f", "s", self.key)
        set_ = ", ".join(f"{column} = EXCLUDED.{column}" for column in self.values.split())
        return text(
            f"""
            WITH fresh AS MATERIALIZED (SELECT {self.columns} FROM ({self.made(OF_IDS)}) made),
                 stale AS MATERIALIZED ({self.stored(OF_IDS)}), dropped AS (
                DELETE FROM {self.table} d USING stale s
                 WHERE d.tenant_id = :tenant_id AND {_equal("d", "s", self.key)}
                   AND NOT EXISTS (SELECT FROM fresh f WHERE {same_key})
            ){more}
            INSERT INTO {self.table} (tenant_id, {self.columns})
            SELECT :tenant_id, f.* FROM fresh f WHERE NOT EXISTS (SELECT FROM stale s WHERE {same_key} AND s = f)
            ON CONFLICT (tenant_id, {", ".join(self.key.split())}) DO UPDATE SET {set_}
            """  # noqa: S608
        ).bindparams(
            bindparam("tenant_id", type_=Uuid),
            bindparam("as_of", type_=DateTime(timezone=True)),
            bindparam("ids", type_=ARRAY(Uuid)),
            *([bindparam("anew", type_=Boolean)] if ":anew" in more else ()),
        )

    def wrong(self) -> TextClause:
        """The statement of the rows that differ, of journeys that no event after the cursor is about.

        It reads the cursor in the same snapshot, so that the worker can go on meanwhile.
        """
        one, other = (", ".join(f"{alias}.{column}" for column in self.columns.split(", ")) for alias in "fs")
        statement = f"""
            WITH cursor AS MATERIALIZED (
                SELECT * FROM summary_cursors c WHERE c.tenant_id = :tenant_id AND c.built_to IS NULL AND {COMPLETE}
            )
            SELECT coalesce(f.journey_id, s.journey_id) AS journey_id, f.journey_id IS NULL AS is_extra,
                   s.journey_id IS NULL AS is_missing
              FROM ({self.made(OF_ALL)}) f
              FULL JOIN (SELECT {self.columns} FROM {self.table} WHERE tenant_id = :tenant_id) s
                     ON {_equal("f", "s", self.key)}
             WHERE ({one}) IS DISTINCT FROM ({other})
               AND coalesce(f.journey_id, s.journey_id) NOT IN ({UNSEEN}) AND EXISTS (SELECT FROM cursor)
             ORDER BY 1 LIMIT :limit
        """  # noqa: S608
        statement = statement.replace(":as_of", "(SELECT as_of FROM cursor)")
        return text(statement.replace(":after", "(SELECT position FROM cursor)"))


def _equal(one: str, other: str, columns: str) -> str:
    return " AND ".join(f"{one}.{column} = {other}.{column}" for column in columns.split())
