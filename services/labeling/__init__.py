"""The AI judge."""
