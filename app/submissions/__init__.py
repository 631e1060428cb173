"""Submissions: stored raw and answered first, then parsed and processed by a worker."""
