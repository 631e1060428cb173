"""Erase a person: personal data out of every table, history and numbers kept (docs/erasure.md)."""
