"""One module for each door: `one(rng)` makes an input, tries it, and raises where the door has a fault."""
