"""Random inputs for every door: `make fuzz MINUTES=n`.

A target is a module here with `def one(rng: random.Random) -> None`: it makes one input from `rng`, gives it to the code, and
raises where that is at fault. The same seed must give the same input. What was found stands in `found.json`, target → seeds,
and is tried again by the ordinary tests.
"""
