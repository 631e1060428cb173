"""`baton torture`: the service under faults, compared with a ledger that it cannot write (docs/decisions/0100)."""
