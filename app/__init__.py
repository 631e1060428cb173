"""Baton: a service for the hand-off of leads from marketing to sales."""
