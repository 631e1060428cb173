"""The rules of the lifecycle: which moves are allowed, for whom, and with which effects. Pure."""
