"""The baselines: minimal services that write the same rows, without rules, validation or authentication."""
