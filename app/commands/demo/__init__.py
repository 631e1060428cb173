"""`baton demo`: half a year of generated leads, sent to a service over its HTTP API."""
