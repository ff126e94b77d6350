"""What is known of a run's method wherever it is named. Pure."""

# Methods that ask nobody.
ASK_NOBODY = ("none", "longest")
