"""Transition requests of people and machines, and which actions a lead is eligible for."""
