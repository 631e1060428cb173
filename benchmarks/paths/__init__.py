"""One module for each path: what is measured, its baseline and its target."""
