"""Whose label is probably wrong, and who is asked about it."""
