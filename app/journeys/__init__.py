"""Journeys: the facts of a lead as stored, the one writer of every change to it, and what the policy does by itself."""
