"""The whole cluster in one thread under a seeded scheduler: production code, a virtual clock, faults of every kind."""
