"""Conversion: turning a journey into account, contact and opportunity, together and once."""
