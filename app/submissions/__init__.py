"""Submissions: accepted raw and durable first, understood afterwards."""
