"""`baton demo`: half a year of an invented company's leads, told to a service through its own doors."""
