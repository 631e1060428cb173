"""HTTP: the application and its routes, authentication, problem responses, request limits, documentation."""
