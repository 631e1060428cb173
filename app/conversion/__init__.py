"""Conversion: makes a lead an account, a contact and an opportunity in one transaction, once per journey."""
