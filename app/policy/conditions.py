"""Conditions (being filled in)."""

Unmet = dict[str, object]
