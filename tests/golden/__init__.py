"""Recorded histories of real runs: new code must fold old facts to the same state."""
