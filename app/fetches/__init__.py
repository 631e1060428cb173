"""Fetches: the records that notifications name, got from their providers."""
