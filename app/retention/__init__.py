"""Removing what a tenant keeps only for a time: contents of submissions, attempts, audit rows."""
