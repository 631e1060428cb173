"""Baton beside other ways to send webhooks from Python and PostgreSQL; docs/benchmarks.md has what was measured.

`on_*.py`, with what they import, run in a virtual environment of their own, which has no package of Baton's.
"""
