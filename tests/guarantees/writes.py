"""Who wrote what about lanes: noted by triggers in the database, by the name of the process's connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from tests.webhooks.conftest import World

# `lane_no` and `fence` are set for rows of lanes only. `claimed`: the row was written by a claim.
STATEMENTS = (
    """CREATE TABLE writes (n bigint GENERATED ALWAYS AS IDENTITY, writer text, tx xid8, kind text,
                            subscription_id uuid, lane_no int, fence bigint, claimed boolean)""",
    """CREATE FUNCTION note_lane() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO writes (writer, tx, kind, subscription_id, lane_no, fence, claimed)
           VALUES (current_setting('application_name'), pg_current_xact_id(), 'lanes', NEW.subscription_id,
                   NEW.lane_no, NEW.fence, NEW.fence > OLD.fence);
           RETURN NULL; END $$""",
    """CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO writes (writer, tx, kind, subscription_id)
           VALUES (current_setting('application_name'), pg_current_xact_id(), 'rows',
                   coalesce(NEW.subscription_id, OLD.subscription_id));
           RETURN NULL; END $$""",
    # That a process wants a lane is written by another than its owner.
    """CREATE TRIGGER note_lane AFTER UPDATE ON lanes FOR EACH ROW
           WHEN (NEW.wanted IS NOT DISTINCT FROM OLD.wanted OR NEW.fence > OLD.fence) EXECUTE FUNCTION note_lane()""",
    "CREATE TRIGGER note_row AFTER INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION note_row()",
    """CREATE TRIGGER note_row AFTER INSERT OR UPDATE OR DELETE ON delivery_retries
           FOR EACH ROW EXECUTE FUNCTION note_row()""",
)


async def note_writes(world: World) -> None:
    """From now on each write to lanes, attempts and retries is noted in the table `writes`."""
    async with world.engine.begin() as tx:
        for statement in STATEMENTS:
            await tx.execute(text(statement))


async def owners(world: World) -> dict[tuple[UUID, int], str]:
    """The process that made the latest claim of each lane that there is."""
    claims = await world.rows(
        "SELECT DISTINCT ON (subscription_id, lane_no) subscription_id, lane_no, writer"
        "  FROM writes JOIN lanes USING (subscription_id, lane_no) WHERE claimed"
        " ORDER BY subscription_id, lane_no, n DESC"
    )
    return {(row.subscription_id, row.lane_no): row.writer for row in claims}


async def forbidden(world: World) -> Sequence[Any]:
    """What processes wrote of lanes whose latest claim was another's, and attempts and retries that no owner wrote."""
    return await world.rows(
        """
        WITH dispatched AS (SELECT * FROM writes WHERE writer LIKE 'dispatcher %')
        SELECT w.* FROM dispatched w
         WHERE w.kind = 'lanes' AND NOT w.claimed
           AND w.writer IS DISTINCT FROM (SELECT c.writer FROM writes c WHERE c.claimed
                                             AND c.subscription_id = w.subscription_id AND c.lane_no = w.lane_no
                                             AND c.n < w.n
                                           ORDER BY c.n DESC LIMIT 1)
        UNION ALL
        SELECT w.* FROM dispatched w
         WHERE w.kind <> 'lanes'
           AND NOT EXISTS (SELECT 1 FROM dispatched l WHERE l.kind = 'lanes' AND l.tx = w.tx AND l.writer = w.writer
                              AND l.subscription_id = w.subscription_id)
        """
    )
