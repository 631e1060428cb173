"""Every router, in the order of the documentation. Nobody else imports endpoints."""

from app.policies.endpoints import api as policies
from app.tenants.endpoints import api as tenants

ROUTERS = (policies, tenants)
