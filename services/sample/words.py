"""Questions about texts: finding something in one, and answering in an exact form. PURE."""

import json

from concord.preference.seeded import Draw
from concord.sample.task import NAMES, Task, Way, listed

_WORDS = (
    "apple",
    "barrel",
    "candle",
    "dragon",
    "ember",
    "falcon",
    "garden",
    "harbor",
    "island",
    "jacket",
    "kettle",
    "lantern",
    "marble",
    "needle",
    "orchard",
    "pepper",
    "quarry",
    "ribbon",
    "saddle",
    "timber",
    "umbrella",
    "velvet",
    "walnut",
    "yellow",
    "zebra",
    "anchor",
    "basket",
    "copper",
    "dinner",
    "engine",
    "feather",
    "granite",
    "hammer",
    "insect",
)
_SENTENCES = (
    "The committee agreed to meet again before the end of the week",
    "Three weathered benches were carried across the meadow",
    "Nobody remembered where the green letter had been kept",
    "Every evening the keeper of the tower tested the bell",
    "The engineers presented seventeen different sketches of the bridge",
    "A gentle breeze swept the leaves beneath the wooden fence",
    "Several bees entered the kitchen between seven and eleven",
    "The professor never explained these three experiments",
)
_CITIES = ("Lisbon", "Nairobi", "Osaka", "Bergen", "Quito", "Tbilisi", "Leeds", "Accra", "Turin", "Hobart", "Pune")
_TRADES = ("carpenter", "nurse", "translator", "baker", "surveyor", "pilot", "librarian", "welder", "florist")


def mail(d: Draw) -> Task:
    """One of several numbers in a message."""
    name, sender = d.several(NAMES, 2)
    order, customer, invoice = (d.integer(10_000, 99_999) for _ in range(3))
    parcels, thing = d.integer(2, 6), d.pick(("chairs", "lamps", "shelves", "filters", "curtains", "tyres"))
    numbers = {"order number": order, "customer number": customer, "invoice number": invoice}
    wanted = d.pick(tuple(numbers))
    others = [key for key in numbers if key != wanted]
    text = d.pick(
        (
            "Dear {name}, thank you for your order {order}. Your {thing} leave our warehouse today in {parcels} parcels. "
            "Invoice {invoice} is attached. When you write to us, please quote your customer number {customer}. {sender}",
            "Hi {name}, a quick note about invoice {invoice}: it belongs to customer {customer} and covers the {thing} from "
            "order {order}, which come in {parcels} parcels. Best, {sender}",
            "{name}, the {thing} are here! {parcels} parcels, order {order}. I could not find our customer number, is it "
            "{customer}? The invoice that came with them is {invoice}. {sender}",
        )
    ).format(name=name, sender=sender, order=order, customer=customer, invoice=invoice, parcels=parcels, thing=thing)

    def way(key: str) -> Way:
        return Way(
            str(numbers[key]),
            f"The message to {name} holds several numbers, for the parcels are announced in it "
            f"too. The one that is given as the {wanted} is {numbers[key]}.",
        )

    return Task(
        "mail",
        f"{text}\n\nWhat is the {wanted} in this message?",
        way(wanted),
        tuple(way(key) for key in others),
        f"The {wanted} is {{}}.",
        "With several numbers close together, it pays to read what stands right before each.",
    )


def shift(d: Draw) -> Task:
    """Who does something, by a list of duties."""
    people = d.several(NAMES, 4)
    days = d.several(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"), 4)
    duty = d.pick(("opens the shop", "feeds the animals", "waters the greenhouse", "reads the meters", "locks up"))
    at = d.integer(0, 3)
    plan = "; ".join(f"{day}: {person}" for day, person in zip(days, people, strict=True))
    swapped = d.pick([i for i in range(4) if i != at])
    # Whoever is on the plan for the wanted day gives the duty to somebody else, so that reading the plan is not enough.
    third = next(i for i in range(4) if i not in (at, swapped))
    return Task(
        "shift",
        f"This is the plan for who {duty}: {plan}. {people[at]} has asked {people[swapped]} to swap their two days. Who "
        f"{duty} on {days[at]} now?",
        Way(people[swapped], f"The swap moves {days[at]} to the other person, and that is {people[swapped]}."),
        (
            Way(people[at], f"The plan has one name for each day. Next to {days[at]} stands {people[at]}."),
            Way(
                people[third],
                f"Going through the plan and taking the swap into account, {days[at]} falls to {people[third]}.",
            ),
        ),
        f"On {days[at]} it is {{}}.",
        "A swap touches two days only; all the other lines of the plan stay as they are.",
    )


def in_order(d: Draw) -> Task:
    """Words in alphabetical order."""
    words = d.several(_WORDS, d.integer(5, 7))
    right = sorted(words)
    swap, drop = d.integer(0, len(words) - 2), d.integer(1, len(words) - 1)
    swapped = [*right[:swap], right[swap + 1], right[swap], *right[swap + 2 :]]
    dropped = right[:drop] + right[drop + 1 :]
    ways = [_list_way(", ".join(words)) for words in (right, swapped, dropped)]
    return Task(
        "in order",
        f"Put these words in alphabetical order, separated by commas: {', '.join(words)}",
        ways[0],
        tuple(ways[1:]),
        "{}",
        "Where two words begin with the same letter, the next letter decides.",
    )


def decimals(d: Draw) -> Task:
    """Decimal fractions by size: more digits do not make a number larger."""
    whole, tenth = d.integer(1, 14), d.integer(3, 8)
    values = [
        f"{whole}.{tenth}",
        f"{whole}.{d.integer(11, 29)}",
        f"{whole}.{tenth - 1}{d.integer(1, 8)}{d.integer(1, 9)}",
        f"{whole}.0{d.integer(1, 9)}",
    ]
    values = d.several(values, 4)
    right = sorted(values, key=float)
    by_digits = sorted(values, key=lambda v: int(v.split(".")[1]))
    reverse = right[::-1]
    ways = [_list_way(", ".join(values)) for values in (right, by_digits, reverse)]
    return Task(
        "decimals",
        f"Sort these numbers from the smallest to the largest, separated by commas: {', '.join(values)}",
        ways[0],
        tuple(ways[1:]),
        "{}",
        "Decimal places are compared one after the other, beginning right behind the point.",
    )


def as_json(d: Draw) -> Task:
    """A sentence as a JSON object with given keys and types."""
    name, city, trade, age = d.pick(NAMES), d.pick(_CITIES), d.pick(_TRADES), d.integer(19, 71)
    text = d.pick(
        (
            "{name} is a {trade} from {city} and turned {age} last week.",
            "At {age}, {name} still works as a {trade}, and has never left {city}.",
            "We spoke with {name} ({age}) about life as a {trade} in {city}.",
        )
    ).format(name=name, trade=trade, city=city, age=age)
    right = {"name": name, "age": age, "job": trade, "city": city}
    slips = (
        {**right, "age": str(age)},
        {"name": name, "age": age, "occupation": trade, "city": city},
        {key: value for key, value in right.items() if key != "city"},
    )
    told = "The sentence names a person, an age, a job and a place, and each goes under its own key:"
    return Task(
        "as JSON",
        f"Turn this sentence into a JSON object on one line with the keys name, age (a number), job and city, in this "
        f"order. Reply with the JSON only.\n\n{text}",
        Way(json.dumps(right), told),
        tuple(Way(json.dumps(slip), told) for slip in slips),
        "{}",
        "JSON puts keys and texts in double quotes, and separates the entries by commas.",
        "bare",
    )


def letters(d: Draw) -> Task:
    """How often a letter stands in a sentence."""
    sentence = d.pick(_SENTENCES)
    letter = d.pick([letter for letter in "etnsr" if sentence.lower().count(letter) > 2])
    opening = d.pick(
        (
            "",
            "They say that ",
            "I was told that ",
            "According to the report, ",
            "As far as we know, ",
            "The story begins like this: ",
            "It was noted that ",
        )
    )
    sentence = opening + (sentence if not opening else sentence[0].lower() + sentence[1:])
    right = sentence.lower().count(letter)
    with_it = [word for word in sentence.split() if letter in word.lower()]

    def way(count: int) -> Way:
        return Way(
            str(count),
            f"The letter occurs in {listed([f'“{word}”' for word in with_it])}. Counted over all of "
            f"them, that makes {count}.",
        )

    return Task(
        "letters",
        f"How many times does the letter “{letter}” occur in this sentence, in upper or lower case?\n\n{sentence}.",
        way(right),
        tuple(
            way(count)
            for count in (right - 1, right + 1, len(with_it) if len(with_it) != right else right + 2)
            if count > 0
        ),
        f"The letter “{letter}” occurs {{}} times.",
        "The easiest way is to go word by word and to note down how many there are in each.",
    )


def backwards(d: Draw) -> Task:
    """A code read from its end."""
    code = "".join(d.several("ABCDEFGHJKLMNPQRSTUVWXYZ", 4) + d.several("23456789", 4))
    if d.uniform() < 0.5:
        code = "".join(d.several(_WORDS, 2)).upper()
    right = code[::-1]
    at = d.integer(1, len(code) - 3)
    while right[at] == right[at + 1]:
        at = 1 + at % (len(code) - 3)
    slip = right[:at] + right[at + 1] + right[at] + right[at + 2 :]
    missing = right[: at + 1] + right[at + 2 :]
    told = f"Reading “{code}” from its last character to its first gives "
    return Task(
        "backwards",
        f"Write “{code}” backwards.",
        Way(right, f"{told}{right}."),
        (Way(slip, f"{told}{slip}."), Way(missing, f"{told}{missing}.")),
        "Backwards it reads {}.",
        "It helps to cut the text into short pieces, and to turn round each of them.",
    )


def roman(d: Draw) -> Task:
    """A year in Roman numerals."""
    digit = d.pick((4, 9))
    year = 100 * d.integer(12, 20) + 10 * digit + d.integer(1, 9)
    right = _roman(year, subtractive=True)
    thing = d.pick(("An old clock tower", "A cornerstone", "The title page of a book", "A medal"))
    parts = ((year // 100 * 100, "the hundreds"), (year % 100 // 10 * 10, "the tens"), (year % 10, "the units"))

    def way(text: str) -> Way:
        return Way(
            text,
            f"The year is made up of {listed([f'{value} for {what}' for value, what in parts])}. Written one "
            f"after the other in Roman numerals that is {text}.",
        )

    return Task(
        "roman",
        f"{thing} shows the year {year} in Roman numerals. How is it written?",
        way(right),
        tuple(way(t) for t in (_roman(year, subtractive=False), _roman(year + 10, subtractive=True))),
        "It is written {}.",
        "No letter stands more than three times in a row; a smaller letter before a larger one is taken away from it.",
    )


def table(d: Draw) -> Task:
    """A difference between two rows of a small table."""
    places = d.several(_CITIES, 4)
    what = d.pick(("bicycles repaired", "books lent", "meals served", "trees planted", "tickets sold"))
    counts = [d.integer(112, 989) for _ in range(4)]
    while len(set(counts)) < 4:
        counts = [d.integer(112, 989) for _ in range(4)]
    best, worst, second = max(counts), min(counts), sorted(counts)[-2]
    names = dict(zip(counts, places, strict=True))
    rows = "\n".join(f"| {place} | {count} |" for place, count in zip(places, counts, strict=True))

    def way(high: int, low: int, difference: int) -> Way:
        return Way(
            str(difference),
            f"The largest number is {high} for {names[high]}, the smallest is {low} for "
            f"{names[low]}. {high} − {low} = {difference}.",
        )

    return Task(
        "table",
        f"| place | {what} |\n| --- | --- |\n{rows}\n\nBy how much does the largest number in this table exceed the "
        "smallest?",
        way(best, worst, best - worst),
        (
            way(second, worst, second - worst),
            way(best, worst, best - worst + 10),
            way(best, sorted(counts)[1], best - sorted(counts)[1]),
        ),
        "The difference is {}.",
        "Only the two rows at the ends matter; those between them can be left aside.",
    )


def _list_way(text: str) -> Way:
    return Way(text, "I compared them one by one and put each into its place, which gives this order:")


def _roman(number: int, subtractive: bool) -> str:
    signs = [(1000, "M"), (500, "D"), (100, "C"), (50, "L"), (10, "X"), (5, "V"), (1, "I")]
    if subtractive:
        signs += [(900, "CM"), (400, "CD"), (90, "XC"), (40, "XL"), (9, "IX"), (4, "IV")]
    text = ""
    for value, sign in sorted(signs, reverse=True):
        text += sign * (number // value)
        number %= value
    return text
