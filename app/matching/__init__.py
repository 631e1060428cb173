"""Who is the same person: normalising what was typed, and resolving it against the identities already known."""
