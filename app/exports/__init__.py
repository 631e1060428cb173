"""Exports: everything that is stored about one person, as one document or as a ZIP with the raw submissions."""
