"""Identity resolution: normalising submitted answers, and matching them with the identities of existing leads."""
