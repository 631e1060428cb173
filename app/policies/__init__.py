"""The published policy versions of a tenant, and which of them is active."""
