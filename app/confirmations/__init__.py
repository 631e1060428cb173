"""Confirmations: the links by which people confirm the consents that they gave in a form (double opt-in)."""
