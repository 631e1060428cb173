"""The policy versions of a tenant: drafted, approved, activated one after another, and reviewed."""
