"""Features and rewards."""
