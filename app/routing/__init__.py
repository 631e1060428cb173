"""Who gets a lead. Pure."""
