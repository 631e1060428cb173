"""One module for each path: what is measured, its baseline, and what is asked of it."""
