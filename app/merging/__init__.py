"""Merge leads of one person, undo it, and decide on possible duplicates."""
