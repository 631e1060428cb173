"""A transaction whose COMMIT may have succeeded is not retried: the client may retry with the same Idempotency-Key."""

from __future__ import annotations

from sqlalchemy import text

from tests.api import Api

DIES_AT_COMMIT = (
    "CREATE SEQUENCE commits",
    """
    CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM nextval('commits');
        PERFORM pg_terminate_backend(pg_backend_pid());
        RETURN NULL;
    END $$
    """,
    "CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON activities DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION die()",
)


async def test_a_connection_lost_during_commit_is_a_503_and_the_transaction_is_not_retried(api: Api) -> None:
    lead = await api.lead()
    async with api.app.state.engine.begin() as tx:
        for statement in DIES_AT_COMMIT:
            await tx.execute(text(statement))
    answer = await api.call("POST", f"/v1/leads/{lead['id']}/activities", {"type": "webinar"})
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    async with api.app.state.engine.connect() as tx:
        assert (await tx.execute(text("SELECT last_value FROM commits"))).scalar_one() == 1
