"""Configured places that submissions come from: preset, mapping, signature, handshake."""
