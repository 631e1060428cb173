"""Assignment of leads to owners and pools. Pure."""
