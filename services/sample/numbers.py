"""Questions about amounts. Each function makes one of its kind from the draws it is given. PURE."""

from itertools import pairwise

from concord.preference.seeded import Draw
from concord.sample.task import NAMES, Task, Way, money

_GOODS = (
    ("notebook", "notebooks"),
    ("pear", "pears"),
    ("bus ticket", "bus tickets"),
    ("candle", "candles"),
    ("mug", "mugs"),
    ("postcard", "postcards"),
    ("bread roll", "bread rolls"),
    ("pencil", "pencils"),
    ("plant pot", "plant pots"),
    ("battery", "batteries"),
)


def change(d: Draw) -> Task:
    """What is left of a banknote."""
    name, (one, other) = d.pick(NAMES), d.several(_GOODS, 2)
    a, b, p, q = d.integer(2, 7), d.integer(2, 6), 5 * d.integer(9, 85), 5 * d.integer(11, 99)
    total = a * p + b * q
    note = next(n for n in (2000, 5000, 10000) if n > total + 100)
    left = note - total
    first, second = f"{a} {one[1]} cost {a} × ${money(p)} = ${money(a * p)}", f"{b} {other[1]} cost {b} × ${money(q)}"

    def way(other_total: int, remainder: int) -> Way:
        together = a * p + other_total
        return Way(
            money(remainder),
            f"{first} and {second} = ${money(other_total)}, together ${money(together)}. "
            f"Taking that from ${note // 100} leaves ${money(remainder)}.",
        )

    return Task(
        "change",
        f"{name} buys {a} {one[1]} at ${money(p)} each and {b} {other[1]} at ${money(q)} each, and pays with a "
        f"${note // 100} note. How much change should {name} get?",
        way(b * q, left),
        (
            way(b * q - q, left + q),
            way(b * q, left + 100),
            Way(
                money(note - a * p - q),
                f"{first}, and the {other[0]} is ${money(q)}. From ${note // 100} that leaves "
                f"${money(note - a * p - q)}.",
            ),
        ),
        f"{name} should get ${{}} back.",
        "It is easiest to work out what each kind of item costs, add the two, and only then look at the note.",
    )


def expression(d: Draw) -> Task:
    """A sum whose order of operations matters."""
    a, b, c, e = d.integer(6, 60), d.integer(3, 19), d.integer(3, 12), d.integer(2, 25)
    right, left_to_right = a + b * c - e, (a + b) * c - e
    return Task(
        "expression",
        d.pick(
            ("What is {} + {} × {} − {}?", "Work out {} + {} × {} − {}.", "Please calculate {} + {} × {} − {}.")
        ).format(a, b, c, e),
        Way(
            str(right),
            f"The multiplication comes first: {b} × {c} = {b * c}. Then {a} + {b * c} = {a + b * c}, and "
            f"{a + b * c} − {e} = {right}.",
        ),
        (
            Way(
                str(left_to_right),
                f"Going from left to right, {a} + {b} = {a + b}. Multiplied by {c} that is "
                f"{(a + b) * c}, and {(a + b) * c} − {e} = {left_to_right}.",
            ),
            Way(
                str(right + 10),
                f"The multiplication comes first: {b} × {c} = {b * c + 10}. Then {a} + {b * c + 10} = "
                f"{a + b * c + 10}, and taking away {e} gives {right + 10}.",
            ),
            Way(
                str(right + 2 * e),
                f"The product is {b} × {c} = {b * c}. Adding {a} and {e} to it gives {right + 2 * e}.",
            ),
        ),
        "The result is {}.",
        "The order of operations decides here, so it is worth being careful about which part comes first.",
    )


def discount(d: Draw) -> Task:
    """Two reductions, one after the other."""
    thing = d.pick(("jacket", "desk lamp", "pair of boots", "backpack", "rice cooker", "bicycle helmet", "rug"))
    first, second = d.several((10, 20, 25, 30, 40, 50), 2)
    price = 100 * d.pick((40, 60, 80, 120, 140, 160, 200, 240))
    after = price * (100 - first) // 100
    end = after * (100 - second) // 100
    added = price * (100 - first - second) // 100
    return Task(
        "discount",
        f"A {thing} costs ${price // 100}. The shop takes {first}% off, and in the final week another {second}% off the "
        f"reduced price. What does the {thing} cost then?",
        Way(
            money(end),
            f"After the first reduction the price is ${price // 100} × {100 - first}% = ${money(after)}. The "
            f"second one is taken from that: ${money(after)} × {100 - second}% = ${money(end)}.",
        ),
        (
            Way(
                money(added),
                f"Together the two reductions are {first}% + {second}% = {first + second}%, so "
                f"{100 - first - second}% of ${price // 100} remain, which is ${money(added)}.",
            ),
            Way(
                money(after),
                f"{first}% of ${price // 100} is ${money(price - after)}, and taking that off leaves ${money(after)}.",
            ),
            Way(
                money(end + 200),
                f"The first reduction brings the price to ${money(after)}. Taking {second}% of that "
                f"away gives ${money(end + 200)}.",
            ),
        ),
        f"The {thing} then costs ${{}}.",
        "A percentage is always a percentage of something, so it matters which price each reduction refers to.",
    )


def bags(d: Draw) -> Task:
    """Units, and rounding up because one cannot buy a part."""
    name, thing = d.pick(NAMES), d.pick(("flour", "rice", "sugar", "birdseed", "potting soil", "oats", "lentils"))
    bag = d.pick((300, 350, 400, 450, 600, 700, 750, 800))
    grams = 100 * d.integer(15, 94)
    if grams % bag == 0:
        grams += 100
    full, kilos = grams // bag, f"{grams / 1000:g}"
    need = full + 1
    return Task(
        "bags",
        f"{name} needs {kilos} kg of {thing}. It is sold in bags of {bag} g. How many bags does {name} have to buy?",
        Way(
            str(need),
            f"{kilos} kg are {grams} g, and {grams} ÷ {bag} lies between {full} and {need}. With {full} bags "
            f"something would be missing, so it has to be rounded up to {need}.",
        ),
        (
            Way(str(full), f"{kilos} kg are {grams} g. Dividing by {bag} g and rounding down gives {full} whole bags."),
            Way(
                str(need + 1),
                f"{kilos} kg are {grams} g. Divided by {bag} that is a little under {need + 1}, and as "
                f"only whole bags are sold, it takes {need + 1}.",
            ),
        ),
        f"{name} has to buy {{}} bags.",
        "Both amounts should be in the same unit before they are divided.",
    )


def speed(d: Draw) -> Task:
    """An average speed over a time in minutes."""
    who = d.pick(("A cyclist", "A van", "A ferry", "A delivery rider", "A tram", "A long-distance coach"))
    minutes, speed_kmh = d.pick((15, 20, 24, 30, 36, 40, 45, 48, 50, 75, 80, 90)), 6 * d.integer(3, 16)
    while speed_kmh * minutes % 60:
        speed_kmh += 1
    km = speed_kmh * minutes // 60
    decimal, rough = km * 100 // minutes, speed_kmh + d.pick((4, 6, 8, 12))
    return Task(
        "speed",
        f"{who} covers {km} km in {minutes} minutes. What is the average speed in km/h?",
        Way(
            str(speed_kmh),
            f"{km} km in {minutes} minutes are {km} ÷ {minutes} km each minute. An hour has sixty "
            f"minutes, and {km} × 60 ÷ {minutes} = {speed_kmh}.",
        ),
        (
            Way(
                str(decimal),
                f"{minutes} minutes are 0.{minutes:02d} hours, and {km} ÷ 0.{minutes:02d} is about {decimal}.",
            ),
            Way(
                str(rough),
                f"In an hour the same distance is covered 60 ÷ {minutes} times, which makes about {rough} km.",
            ),
            Way(str(speed_kmh // 2), f"{km} km divided by the time and brought to the hour gives {speed_kmh // 2}."),
        ),
        "The average speed is {} km/h.",
        "Average speed is distance divided by time, with the time in hours.",
    )


def sequence(d: Draw) -> Task:
    """The next number of a sequence whose steps grow."""
    start, step, growth = d.integer(1, 20), d.integer(2, 9), d.integer(1, 6)
    terms = [start]
    for at in range(5):
        terms.append(terms[-1] + step + at * growth)
    shown, right = terms[:5], terms[5]
    steps = ", ".join(str(b - a) for a, b in pairwise(shown))
    same, doubled = 2 * shown[-1] - shown[-2], shown[-1] + 2 * (shown[-1] - shown[-2])
    return Task(
        "sequence",
        d.pick(
            (
                "Which number comes next: {}, …?",
                "Continue the sequence by one number: {}, …",
                "What is the next term of {}, …?",
            )
        ).format(", ".join(map(str, shown))),
        Way(
            str(right),
            f"The steps between the numbers are {steps}, each {growth} more than the one before. The next "
            f"step is therefore {right - shown[-1]}, and {shown[-1]} + {right - shown[-1]} = {right}.",
        ),
        (
            Way(
                str(same),
                f"From {shown[-2]} to {shown[-1]} the step is {shown[-1] - shown[-2]}. Adding the same again "
                f"gives {same}.",
            ),
            Way(
                str(doubled),
                f"The steps get larger and larger. The last one was {shown[-1] - shown[-2]}, and doubling "
                f"it leads to {doubled}.",
            ),
            Way(
                str(right + growth),
                f"The steps are {steps}, so they grow steadily. Going on in the same manner leads to {right + growth}.",
            ),
        ),
        "The next number is {}.",
        "With sequences it usually helps to look at the differences between neighbours.",
    )


def median(d: Draw) -> Task:
    """The middle of an unordered list."""
    values = [d.integer(3, 60) for _ in range(7)]
    while len(set(values)) < 7 or values[3] == sorted(values)[3]:
        values = [d.integer(3, 60) for _ in range(7)]
    ordered, mean = sorted(values), sum(values) // 7
    what = d.pick(
        (
            "daily visitors of a small museum",
            "minutes that a bus was late",
            "points in seven games",
            "letters in a mailbox on seven days",
            "pages read on seven evenings",
        )
    )
    text = ", ".join(map(str, values))
    return Task(
        "median",
        f"These are the {what}: {text}. What is the median?",
        Way(
            str(ordered[3]),
            f"In order of size the values are {', '.join(map(str, ordered))}. The fourth of the seven "
            f"stands in the middle, and that is {ordered[3]}.",
        ),
        (
            Way(str(values[3]), f"There are seven values, so the fourth one is in the middle, which is {values[3]}."),
            Way(str(mean), f"The values add up to {sum(values)}. Divided by seven that is about {mean}."),
            Way(
                str(ordered[4]),
                "Sorted by size, three of the values are on one side of the middle. Counting them off "
                f"leads to {ordered[4]}.",
            ),
        ),
        "The median is {}.",
        "The median is the value in the middle once everything has been put in order.",
    )


def loop(d: Draw) -> Task:
    """What a few lines of Python print."""
    low, high, factor = d.integer(1, 5), d.integer(7, 13), d.integer(2, 5)
    right = factor * sum(range(low, high))
    inclusive, without = factor * sum(range(low, high + 1)), sum(range(low, high))
    name = d.pick(("total", "result", "acc", "s"))
    return Task(
        "loop",
        f"What does this Python program print?\n\n{name} = 0\nfor i in range({low}, {high}):\n    {name} += {factor} * i\n"
        f"print({name})",
        Way(
            str(right),
            f"range({low}, {high}) runs from {low} to {high - 1}, and these numbers add up to {without}. "
            f"Each is multiplied by {factor}, so `{name}` ends at {factor} × {without} = {right}.",
        ),
        (
            Way(
                str(inclusive),
                f"The loop adds {factor} × i for every i from {low} to {high}. These numbers add up to "
                f"{sum(range(low, high + 1))}, and {factor} times that is {inclusive}.",
            ),
            Way(
                str(right + factor),
                f"`{name}` starts at zero and grows by {factor} × i in every pass. After the last "
                f"pass it holds {right + factor}.",
            ),
            Way(
                str(factor * (high - low)),
                f"The loop runs {high - low} times and adds {factor} each time, which makes {factor * (high - low)}.",
            ),
        ),
        "It prints {}.",
        "The upper end of a range is where mistakes are easiest to make.",
    )
