"""The commands of `concord`, a function each: it reads its flags, calls what does the work, prints what came of it.

All of them are imported for any of them. So what is heavy (the services, the drawings) is imported in the command that needs it:
`concord runs` should not wait for it. tests/test_imports.py holds that.
"""

# Exit codes of commands that did their work: the run waits for a person; something is wrong.
WAITS = FOUND = 3
