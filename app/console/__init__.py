"""Pages for people: what the API tells, to look at (docs/console.md)."""
