"""Baton: the hand-off between marketing and sales, as a service that never drops a lead."""
