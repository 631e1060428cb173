"""Leads: how they are captured, changed, confirmed, listed and shown."""
