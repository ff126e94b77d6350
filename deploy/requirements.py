"""`requirements.py EXTRA[,EXTRA…]`: what pyproject.toml asks for, with these extras, a requirement a line. For the images:
their libraries are a layer of their own, which a change of the code leaves as it is."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
known = project["optional-dependencies"]
wanted = [name for name in sys.argv[1].split(",") if name]
if unknown := set(wanted) - set(known):
    sys.exit(f"no such extra: {', '.join(unknown)}; there are: {', '.join(known)}")
print("\n".join([*project["dependencies"], *(line for name in wanted for line in known[name])]))
