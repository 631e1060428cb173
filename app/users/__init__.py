"""Changing users: who is deactivated hands leads and opportunities to somebody else."""
