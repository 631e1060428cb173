"""The baselines: the least that a service could do for the same rows, without rules, checks or keys."""
