"""Journeys: load and lock leads, evaluate them by their policy, and record every change in one statement."""
