"""Confirmations: the links by which people confirm the consents of a form (double opt-in), and withdraw consents."""
