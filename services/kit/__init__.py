"""Machinery that knows nothing of preferences."""
