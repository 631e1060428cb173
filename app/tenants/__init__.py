"""Tenants, their users and their API keys."""
