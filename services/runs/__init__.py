"""The front door and the loop's state machine."""
