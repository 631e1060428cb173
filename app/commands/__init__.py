"""The commands of the `baton` command line."""
