"""Every router, in the order of the documentation. Nobody else imports endpoints."""

from app.conversion.endpoints import api as conversion
from app.events.endpoints import api as events
from app.events.endpoints import waiting as feed
from app.leads.endpoints import api as leads
from app.leads.endpoints import many as activities
from app.pipeline.endpoints import api as pipeline
from app.policies.endpoints import api as policies
from app.sources.endpoints import api as sources
from app.submissions.endpoints import api as submissions
from app.submissions.endpoints import ingest
from app.tenants.endpoints import api as tenants
from app.transitions.endpoints import api as transitions
from app.webhooks.endpoints import api as subscriptions
from app.webhooks.endpoints import sending as pings

ROUTERS = (
    ingest,
    sources,
    submissions,
    leads,
    activities,
    transitions,
    conversion,
    pipeline,
    feed,
    events,
    subscriptions,
    pings,
    policies,
    tenants,
)
