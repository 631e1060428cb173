"""Dropping partitions of the log and of attempts whose time is over, and what follows for whoever still waits there."""
