"""Leads: capture, changes, BANT confirmations, consents, lists and history."""
