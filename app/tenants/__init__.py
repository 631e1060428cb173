"""Tenants, the people who work there, and their API keys."""
