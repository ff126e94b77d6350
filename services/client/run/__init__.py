"""One `concord run`: its settings, its job, the people who answer, what is seen of it."""
