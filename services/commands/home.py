"""The folder that a command works in, as `concord.home` opens it."""

from concord.home import opened, reading

__all__ = ["opened", "reading"]
