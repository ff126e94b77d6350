"""Checkers: is an answer right, by rules that read it, before anybody looks at its style."""
