"""The forecast: periods of the fiscal calendar, quotas, rates, roll-up over people, weekly snapshots and changes."""
