"""Routing to people."""
