"""Fit, engagement, level and temperature, computed from facts. Pure."""
