"""Changing users; the leads and opportunities of a deactivated one go to another user or to the pool."""
