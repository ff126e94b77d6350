"""Numbers with their units, as people write them, to values that can be compared. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from concord.checks.words import LARGE, SMALL

# Digits of a number at most; one with more is not read.
MAX_DIGITS = 40

_UNIT_ROWS = (
    # dimension, its units with how many of the first each is
    ("length", "m meter metre:1 km kilometer kilometre:1000 cm centimeter centimetre:1/100 mm millimeter millimetre:1/1000 "
               "inch inches:127/5000 ft foot feet:381/1250 yd yard:1143/1250 mi mile:201168/125"),
    ("mass", "g gram gramme:1 kg kilogram kilo:1000 mg milligram:1/1000 t ton tonne:1000000 lb lbs pound:45359237/100000 "
             "oz ounce:45359237/1600000"),
    ("time", "s sec second:1 ms millisecond:1/1000 min minute:60 h hr hour:3600 day:86400 week:604800"),
    ("months", "month:1 year yr:12 decade:120 century centuries:1200"),
    ("volume", "l liter litre:1 ml milliliter millilitre:1/1000 gallon gal:473176473/125000000 quart:473176473/500000000 "
               "pint:473176473/1000000000"),
    ("dollar", "$ dollar usd buck:1 ¢ cent:1/100"),
    ("euro", "€ euro eur:1"),
    ("sterling", "£ gbp:1 pence:1/100"),
    ("yen", "¥ yen:1"),
    ("rupee", "₹ rupee:1"),
    ("percent", "% percent percentage:1"),
    ("angle", "° degree:1"),
    ("speed", "mph:201168/450000 kph kmh km/h:5/18 m/s:1"),
    ("area", "m² m^2 sqm:1 km²:1000000"),
)  # fmt: skip


def _units() -> dict[str, tuple[str, Fraction]]:
    out: dict[str, tuple[str, Fraction]] = {}
    for dimension, row in _UNIT_ROWS:
        names: list[str] = []
        for word in row.split():
            name, _, factor = word.partition(":")
            names.append(name)
            if factor:
                out |= {name: (dimension, Fraction(factor)) for name in names}
                names = []
    return out


UNITS = _units()
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}
_SMALL, _LARGE = ("|".join(sorted(words, key=len, reverse=True)) for words in (SMALL, LARGE))
_MAGNITUDES = {name: value for name, value in LARGE.items() if value > 100} | {"k": 10**3, "m": 10**6, "bn": 10**9}
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-−+](?=[\d.$€£¥₹\\(]))?[ ]?(?P<money>\\?[$€£¥₹])?[ ]?(?P<sign2>[-−](?=[\d.]))?"
    r"(?:\\[dt]?frac[ ]?\{(?P<over>[-−]?\d{1,40})\}[ ]?\{(?P<under>\d{1,40})\}"
    r"|(?P<whole>\d{1,40}(?:(?:,|\{,\}|\\,|_|\u202f|\u00a0)\d{3}(?!\d)){0,12}(?!\d)|(?=\.\d))(?P<rest>\.\d{1,40}(?!\d))?"
    r"(?:(?:[ ]?(?:\*|×|x|\\times|\\cdot)[ ]?10[ ]?\^[ ]?\{?|e)(?P<power>[-−+]?\d{1,2})\}?)?"
    r"(?:[ ](?P<mixed>\d{1,6}/\d{1,6})|[ ]?/[ ]?(?P<denominator>\d{1,40})(?![\d/]))?)"
    r"(?P<vulgar>[½⅓⅔¼¾⅕⅛])?"
    r"(?:[ ]?(?P<magnitude>(?:thousand|million|billion|trillion|(?<! )(?:bn|k|(?(money)m|(?!))))\b))?"
    r"(?P<apart>[ -]{0,2})(?P<unit>\\?%|km/h|m/s|km²|m²|m\^2|[a-zA-Z°¢€£$]{1,14})?",
    re.I,
)  # fmt: skip
_SPELLED = re.compile(
    rf"(?<![\w-])(?:(?P<half>(?:one |a )?half)|(?P<dozen>(?:a|one|\w{{3,9}}) dozen)|"
    rf"(?P<words>(?:(?:{_SMALL})|a (?={_LARGE}))\b(?:[ -](?:and )?(?:{_SMALL}|{_LARGE})\b|(?<=a )(?:{_LARGE})\b){{0,12}}))"
    r"[ -]{0,2}(?P<unit>[a-z°%]{1,14})?",
    re.I,
)


@dataclass(frozen=True)
class Quantity:
    """A number that a text holds."""

    value: Fraction
    unit: str = ""  # as written, singular; empty: none that is known
    decimals: int = 0  # places behind the point that were written
    start: int = 0
    end: int = 0
    spelled: bool = False  # in words

    @property
    def dimension(self) -> str:
        """What its unit measures; empty: no known unit."""
        return UNITS[self.unit][0] if self.unit else ""

    @property
    def in_base(self) -> Fraction:
        """Its value in the first unit of its dimension."""
        return self.value * (UNITS[self.unit][1] if self.unit else 1)


def unit_of(word: str) -> str:
    """The known unit that a word names, in singular; empty: none."""
    word = word.strip("\\ ").lower()
    return next((name for name in (word, word.removesuffix("s"), word.removesuffix("es")) if name in UNITS), "")


def quantities(text: str) -> Iterator[Quantity]:
    """The numbers of a text in order: digits, fractions, powers of ten, LaTeX, and numbers in words. Linear in the text."""
    found = [
        _written(number) for number in _NUMBER.finditer(text) if number["over"] or number["whole"] or number["rest"]
    ]
    found += [_spelled(number) for number in _SPELLED.finditer(text)]
    yield from sorted((one for one in found if one is not None), key=lambda one: one.start)


def _written(found: re.Match) -> Quantity | None:
    if found["over"]:
        if not int(found["under"]):
            return None
        value, decimals = Fraction(int(_minus(found["over"])), int(found["under"])), 0
    else:
        whole, rest = re.sub(r"\D", "", found["whole"]), found["rest"] or ""
        value, decimals = Fraction((whole or "0") + rest), max(0, len(rest) - 1)
        if found["power"]:
            value, decimals = value * Fraction(10) ** int(_minus(found["power"])), 0
        if found["denominator"]:
            if not int(found["denominator"]):
                return None
            value /= int(found["denominator"])
        if found["mixed"]:
            over, under = found["mixed"].split("/")
            value += Fraction(int(over), int(under)) if int(under) else 0
    if found["vulgar"]:
        value += Fraction(_VULGAR[found["vulgar"]])
    if found["magnitude"]:
        value, decimals = value * _MAGNITUDES[found["magnitude"].lower()], 0
    if found["sign"] in ("-", "−") or found["sign2"]:
        value = -value
    unit = unit_of(found["unit"] or "") or unit_of(found["money"] or "")
    end = found.start("apart") if not unit_of(found["unit"] or "") else found.end()
    return Quantity(value, unit, decimals, found.start(), end)


def _minus(digits: str) -> str:
    return digits.replace("−", "-")


def _spelled(found: re.Match) -> Quantity | None:
    unit = unit_of(found["unit"] or "")
    value = _value_of(found)
    if value is None:
        return None
    return Quantity(value, unit, 0, found.start(), found.end("words" if found["words"] and not unit else 0), True)


def _value_of(found: re.Match) -> Fraction | None:
    if found["half"]:
        return Fraction(1, 2)
    if found["dozen"]:
        count = found["dozen"].split()[0].lower()
        return Fraction(12 * SMALL.get(count, 1)) if count in SMALL or count == "a" else None
    words = re.split(r"[ -]+", found["words"].lower().strip(" -"))
    total = current = 0
    for word in words:
        if word in SMALL:
            current += SMALL[word]
        elif word == "hundred":
            current = (current or 1) * 100
        elif word in LARGE:
            total, current = total + (current or 1) * LARGE[word], 0
    return Fraction(total + current)


def same(gold: Quantity, said: Quantity) -> bool | None:
    """Whether two quantities are equal, their units taken into account; None: their units cannot be compared."""
    if gold.dimension and said.dimension and gold.dimension != said.dimension:
        if "percent" in (gold.dimension, said.dimension):
            return None
        return None if gold.value == said.value else False
    if gold.dimension and gold.dimension == said.dimension:
        return _close(gold.in_base, said.in_base, gold, said)
    if _close(gold.value, said.value, gold, said):
        return True
    # A share is written as .18 or as 18 %. Otherwise the number in the other unit may be meant, which is not read into it.
    as_share = [one.value / 100 if one.dimension == "percent" else one.value for one in (gold, said)]
    return "percent" in (gold.dimension, said.dimension) and as_share[0] == as_share[1]


def _close(gold: Fraction, said: Fraction, first: Quantity, second: Quantity) -> bool:
    """Equal, or the one is the other rounded to the places that it was written with (two at least)."""
    if gold == said:
        return True
    places = min((one.decimals for one in (first, second) if one.decimals >= 2), default=0)
    return bool(places) and abs(gold - said) <= Fraction(1, 2 * 10**places) and abs(gold - said) * 50 <= abs(gold)
