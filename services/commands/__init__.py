"""The commands of `concord`, a function each: it reads its flags, calls what does the work, prints what came of it."""

# Exit codes of commands that did their work: the run waits for a person; something is wrong.
WAITS = FOUND = 3
