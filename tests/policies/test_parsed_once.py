"""A stored policy is parsed once for all tenants that have it, and each change of it is another policy."""

from app.policies.published import active_policy
from app.tenants.create import create_tenant
from tests.api import Api


async def test_tenants_with_one_document_share_the_policy_and_others_do_not(api: Api) -> None:
    found = []
    for policy in ("waterfall", "waterfall", "pipeline"):
        async with api.app.state.engine.begin() as tx:
            tenant_id = await create_tenant(tx, "other", policy, api.now)
            found.append(await active_policy(tx, tenant_id))
    one, same, other = found
    assert one.policy is same.policy
    assert one.id != same.id
    assert other.policy != one.policy
