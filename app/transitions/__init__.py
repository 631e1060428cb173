"""Asking for a move: the one door for people and machines, and why an action is not open."""
