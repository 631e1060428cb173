"""Sources: where submissions come from, each with a preset, a mapping, signature rules and a handshake."""
