"""How likely a lead is to become a customer: models learned of the tenant's finished journeys, and why."""
