"""Arithmetic that a response writes down, computed again. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise

# What one side of an equation may hold; a longer one is not arithmetic that a person wrote.
MAX_SIDE = 160
MAX_STEPS = 2_000
# Bits of a number that is computed.
MAX_BITS = 4_000
_NUMBER = r"(?:\d{1,15}(?:,\d{3}(?!\d)){0,5}(?:\.\d{1,20})?|\.\d{1,20})"
# An expression: numbers with operators between them; units and currency may stand beside a number.
_TOKEN = re.compile(
    rf"\s{{0,3}}(?:[$€£¥](?=[\d.(])\s?)?(?:(?P<number>{_NUMBER})(?P<percent>\s?%)?|(?P<sign>\*\*|[-+*/×x÷·•−^()]))"
)
_SIDES = re.compile(r"[^=<>≈\n]{1,400}")
_LATEX = (
    (re.compile(r"\\(?:times|cdot)\b"), "*"),
    (re.compile(r"\\div\b"), "/"),
    (re.compile(r"\\[dt]?frac\s?\{(\d{1,15}(?:\.\d{1,9})?)\}\s?\{(\d{1,15}(?:\.\d{1,9})?)\}"), r"(\1/\2)"),
    (re.compile(r"\\(?:left|right|[,;!()\[\]])"), " "),
    (re.compile(r"\\(?=[$%])"), ""),
)
_SAME_SIGN = {"×": "*", "x": "*", "·": "*", "•": "*", "÷": "/", "−": "-", "**": "^"}
_CALCULATOR = re.compile(r"<<([^<>\n]{1,160})>>")


@dataclass(frozen=True)
class Step:
    """One equation between numbers, as written: `left` computed, `right` as it stands there."""

    text: str
    left: Fraction
    right: Fraction
    decimals: int  # that `right` was written with
    rounded: bool  # said to be about
    percent: bool = False  # `right` is a share that was written in percent

    @property
    def holds(self) -> bool:
        """Whether it is so, up to the rounding that the written places imply."""
        # "40/100*20 = 8%" is of the 20, "8/20 = 40%" is a share: both are written.
        if self.left == self.right or (self.percent and self.left == 100 * self.right):
            return True
        off = abs(self.left - self.right)
        unit = Fraction(1, 10 ** min(self.decimals, 9))
        if self.left.denominator != 1:
            # Rounded or cut off at the last place that is written; whole numbers of things as well.
            return off < unit if self.decimals or self.rounded or off <= Fraction(1, 2) else False
        return self.rounded and off * 20 <= abs(self.left)


def wrong_steps(response: str) -> tuple[str, ...]:
    """The equations of a response that do not hold, as written, in order. Linear in the response."""
    return tuple(step.text for step in steps(response) if not step.holds)


def steps(response: str) -> Iterator[Step]:
    """The equations of a response between numbers alone, in order; those in letters or that cannot be read are left out."""
    looked = islice((pair for line in response.splitlines() for pair in _equations(line)), MAX_STEPS)
    yield from (step for pair in looked if (step := _step(*pair)))


def _equations(line: str) -> Iterator[tuple[str, str, bool]]:
    """(left, right, said to be about) of everything in a line that looks like an equation."""
    if "=" in line or "≈" in line:
        yield from _calculators(line)
        yield from _chain(_CALCULATOR.sub("", line))


def _calculators(line: str) -> Iterator[tuple[str, str, bool]]:
    """`<<3*4=12>>`, as GSM8K's solutions have them; the number behind it must be the same."""
    for found in _CALCULATOR.finditer(line):
        yield from _chain(found[1])


def _chain(line: str) -> Iterator[tuple[str, str, bool]]:
    """`a = b = c`: each side against the one that follows."""
    for pattern, plain in _LATEX:
        line = pattern.sub(plain, line)
    sides = [(found[0], found.start(), found.end()) for found in _SIDES.finditer(line)]
    for (left, _, end), (right, start, _) in pairwise(sides):
        between = line[end:start]
        if between.strip(" =") not in ("", "≈") or len(between) > 2:
            continue
        rounded = "≈" in between or bool(re.search(r"about|approx|roughly|around|~", left[-20:] + right[:12]))
        yield left, right, rounded


def _step(left: str, right: str, rounded: bool) -> Step | None:
    computed = _last_expression(left)
    stated = _first_number(right)
    if computed is None or stated is None:
        return None
    (value, written), (number, decimals, digits) = computed, stated
    return Step(f"{written.strip()} = {digits}", value, number, decimals, rounded, digits.endswith("%"))


def _first_number(text: str) -> tuple[Fraction, int, str] | None:
    """(value, decimals, as written) of a side that is one number, apart from units behind it."""
    found = re.match(
        rf"\s{{0,3}}(?P<sign>[-−]\s?)?(?:[$€£¥]\s?)?(?P<sign2>[-−])?(?P<number>{_NUMBER})(?P<percent>\s?%)?", text
    )
    if not found or re.match(
        r"\s{0,3}[-+*/×÷·•^−(]\s{0,3}[$€£¥]?\s?[\d(.]|\s?x\s?\d|\s?/|[a-zA-Z]\b|\d|\s?:\s?\d|\.\d", text[found.end() :]
    ):
        return None
    digits = found["number"].replace(",", "")
    value = Fraction(digits) * (-1 if found["sign"] or found["sign2"] else 1)
    places = len(digits.partition(".")[2])
    return (value / 100, places + 2, found[0].strip()) if found["percent"] else (value, places, found[0].strip())


def _last_expression(text: str) -> tuple[Fraction, str] | None:
    """(value, as written) of the arithmetic that a side ends with; None: it ends with none, or with a lone number."""
    text = text[-MAX_SIDE:]
    for start in _starts(text):
        tokens, end = _tokens(text, start)
        if text[end:].strip(" .)$*_") and not re.fullmatch(r"[\s$*_]*(?:[a-z]+\s?){0,4}", text[end:], re.I):
            continue
        if sum(kind == "number" for kind, _ in tokens) < 2:
            return None
        value = _value(tokens)
        return None if value is None else (value, text[start:end])
    return None


def _starts(text: str) -> list[int]:
    """Where an expression may begin, the longest first: where a number or a bracket follows no operator or letter."""
    out = []
    for found in re.finditer(rf"[($€£¥]{{0,4}}(?:{_NUMBER})|\(", text):
        before = text[: found.start()].rstrip()
        if not before or (before[-1] not in "+-*/×÷·•^−(.,$" and not re.search(r"\dx$|[\d)]\s?x$", before)):
            out.append(found.start())
    return out[:12]


def _tokens(text: str, start: int) -> tuple[list[tuple[str, Fraction | str]], int]:
    """The tokens from `start` on, words of units between number and operator passed over; and where they end."""
    out: list[tuple[str, Fraction | str]] = []
    at = start
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            unit = re.match(r"\s?(?:[a-zA-Z]+\s?){1,3}(?=[-+*/×÷·•−)]\s?[$€£¥]?\s?[\d(.])", text[at:])
            if unit and out and out[-1][0] == "number":
                at += unit.end()
                continue
            break
        if found["number"]:
            value = Fraction(found["number"].replace(",", ""))
            out.append(("number", value / 100 if found["percent"] else value))
        else:
            out.append(("sign", _SAME_SIGN.get(found["sign"], found["sign"])))
        at = found.end()
    return out, at


def _value(tokens: list[tuple[str, Fraction | str]]) -> Fraction | None:
    """What an expression comes to; None where it is not one, divides by zero or has a large power."""
    try:
        value, rest = _sum(tokens, 0)
    except (ZeroDivisionError, ValueError, RecursionError):
        return None
    return value if rest == len(tokens) else None


def _sum(tokens: list, at: int) -> tuple[Fraction, int]:
    value, at = _product(tokens, at)
    while at < len(tokens) and tokens[at] in (("sign", "+"), ("sign", "-")):
        more, after = _product(tokens, at + 1)
        value, at = (value + more if tokens[at][1] == "+" else value - more), after
    return value, at


def _product(tokens: list, at: int) -> tuple[Fraction, int]:
    value, at = _power(tokens, at)
    while at < len(tokens):
        if tokens[at] in (("sign", "*"), ("sign", "/")):
            more, after = _power(tokens, at + 1)
            value, at = (value * more if tokens[at][1] == "*" else value / more), after
        elif tokens[at] == ("sign", "("):
            more, at = _power(tokens, at)
            value *= more
        else:
            break
    return value, at


def _power(tokens: list, at: int) -> tuple[Fraction, int]:
    value, at = _atom(tokens, at)
    if at < len(tokens) and tokens[at] == ("sign", "^"):
        power, at = _atom(tokens, at + 1)
        if power.denominator != 1 or abs(power) > 30:
            raise ValueError("a power that is not computed")
        if (
            value.numerator.bit_length() * abs(power) > MAX_BITS
            or value.denominator.bit_length() * abs(power) > MAX_BITS
        ):
            raise ValueError("a number that is not computed")
        value **= int(power)
    return value, at


def _atom(tokens: list, at: int) -> tuple[Fraction, int]:
    if at >= len(tokens):
        raise ValueError("it ends too soon")
    kind, what = tokens[at]
    if kind == "number":
        return what, at + 1
    if what == "-":
        value, at = _atom(tokens, at + 1)
        return -value, at
    if what == "(":
        value, at = _sum(tokens, at + 1)
        if at < len(tokens) and tokens[at] == ("sign", ")"):
            return value, at + 1
    raise ValueError("no number")
