"""The HTTP edge: the application and its routes, authentication, problems, limits, documentation."""
