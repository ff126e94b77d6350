"""A number and what it counts, as people write them. Pure."""


def many(number: float, one: str, more: str = "") -> str:
    """`1 pair`, `0 pairs`, `1,234 pairs`; `more`: what several are called, where that is not `one` with an s.

    A verb may come along: `many(n, "row has", "rows have")`.
    """
    whole = f"{number:,.0f}"
    return f"{whole} {one if whole == '1' else more or one + 's'}"
