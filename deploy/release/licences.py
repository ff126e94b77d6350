"""`python -m deploy.release.licences`: each dependency with its licence; ends with 1 where one is not allowed.

Reads what is installed here, and asks nobody.
"""

import sys

from deploy.release.dependencies import dependencies, known


def main() -> int:
    found = dependencies()
    bad = [one for one in found if not known(one.licence)]
    if "--quiet" not in sys.argv:
        for one in found:
            print(f"{one.name:28} {one.version:16} {one.licence}")
    for one in bad:
        print(
            f"{one.name} {one.version}: {one.licence!r} is not among the licences that may be shipped "
            "(deploy/release/dependencies.py); look at it, then allow it there or do without the package",
            file=sys.stderr,
        )
    print(f"licences: {len(found)} dependencies, {len(bad)} not allowed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
