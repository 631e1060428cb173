"""How many statements a change of a lead takes."""

from tests.api import Api
from tests.journeys.test_clocks import runs
from tests.plans import statements_of
from tests.rules.make import WATERFALL


async def test_a_transition_loads_and_writes_everything_of_its_lead_in_one_statement_each(api: Api) -> None:
    """Its clocks, too: they are read with the lead, and written with its transition."""
    sdr, lead = await api.user("sdr"), await api.mql()
    assert await runs(api, lead) == [("response", "due")]
    reason = next(one.code for one in WATERFALL.reasons["disqualify"] if one.note != "required")
    with statements_of(api.app.state.engine) as ran:
        answer = await api.ask(lead, "disqualify", sdr, reason_code=reason)
    assert answer.status_code == 201, answer.text
    of_clocks = [query for query, _ in ran if "clock_runs" in query]
    assert ["INSERT INTO transitions" in query for query in of_clocks] == [False, True]
    assert answer.json()["lead"]["sla"] is None
    assert (await api.reload(lead))["sla"] is None
