"""Asks whoever sits at the terminal before something is done that cannot be taken back."""

import sys

from concord.kit.errors import InvalidInput


def agreed(question: str, would: str) -> bool:
    """Whether the answer is yes. Raises InvalidInput, which says what would be done, where nobody can be asked."""
    if not sys.stdin.isatty():
        raise InvalidInput(f"{would}, and nobody can be asked here: say --yes")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D is a no
        return False
