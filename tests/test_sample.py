"""The bundled sample: every truth in it is worked out again here, from the prompt's text alone and in another way."""

import io
import json
import re
from calendar import timegm
from collections import Counter
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from statistics import mean, median

import pytest

from concord import sample
from concord.client.intake.formats.canonical import RECORD, read_responses
from concord.client.intake.formats.table import format_of
from concord.client.intake.rows import rows as rows_of
from concord.preference.seeded import Draw, uniform

WEEK = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
DATE = r"\d{1,2} [A-Z][a-z]+ \d{4}"


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"\d+", text)]


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%d %B %Y")


def change(prompt: str) -> str:
    bought = re.findall(r"(\d+) [a-z ]+ at \$([\d.]+) each", prompt)
    (note,) = re.findall(r"a \$(\d+) note", prompt)
    return str(Decimal(note) - sum(Decimal(price) for count, price in bought for _ in range(int(count))))


def expression(prompt: str) -> str:
    (sum_,) = re.findall(r"\d+ \+ \d+ × \d+ − \d+", prompt)
    return str(eval(sum_.replace("×", "*").replace("−", "-")))


def discount(prompt: str) -> str:
    (price,) = re.findall(r"costs \$(\d+)\.", prompt)
    first, second = re.findall(r"(\d+)%", prompt)
    return f"{float(Fraction(price) * (1 - Fraction(first) / 100) * (1 - Fraction(second) / 100)):.2f}"


def bags(prompt: str) -> str:
    kilos, grams = re.search(r"needs ([\d.]+) kg .* bags of (\d+) g", prompt).groups()
    return str(ceil(Fraction(kilos) * 1000 / int(grams)))


def speed(prompt: str) -> str:
    km, minutes = re.search(r"(\d+) km in (\d+) minutes", prompt).groups()
    return str(Fraction(int(km), 1) / Fraction(int(minutes), 60))


def sequence(prompt: str) -> str:
    a, b, c, d, e = numbers(prompt)
    assert c - 2 * b + a == d - 2 * c + b == e - 2 * d + c, "its second differences are one number"
    return str(3 * e - 3 * d + c)


def middle(prompt: str) -> str:
    (values,) = re.findall(r": ([\d, ]+)\.", prompt)
    return str(median(numbers(values)))


def printed(prompt: str) -> str:
    (program,) = re.findall(r"(\w+ = 0\nfor .*\n.*\nprint\(\w+\))", prompt)
    with redirect_stdout(io.StringIO()) as output:
        exec(program, {})
    return output.getvalue().strip()


def later(prompt: str) -> str:
    start, days = re.search(rf"({DATE}) .* (\d+) days later", prompt).groups()
    day = moment(start)
    for _ in range(int(days)):
        day += timedelta(hours=24)
    return f"{day.day} {day:%B %Y}"


def until(prompt: str) -> str:
    start, end = re.findall(DATE, prompt)
    return str((timegm(moment(end).timetuple()) - timegm(moment(start).timetuple())) // 86400)


def weekday(prompt: str) -> str:
    today, days = re.search(r"Today is (\w+)\. .* (\d+) days", prompt).groups()
    return (WEEK * 20)[WEEK.index(today) :][int(days)]


def arrival(prompt: str) -> str:
    at, hours, minutes = re.search(r"at (\d\d:\d\d) and takes (\d+) h (\d+) min", prompt).groups()
    return f"{datetime.strptime(at, '%H:%M') + timedelta(hours=int(hours), minutes=int(minutes)):%H:%M}"


def mail(prompt: str) -> str:
    text, question = prompt.split("\n\n")[:2]
    wanted = re.search(r"What is the (\w+) number", question).group(1)
    found = {
        "order": r"order (\d{5})",
        "customer": r"(?:customer number|customer|customer number, is it) (\d{5})",
        "invoice": r"[Ii]nvoice (?:that came with them is )?(\d{5})",
    }
    (number,) = re.findall(found[wanted], text)
    return number


def shift(prompt: str) -> str:
    plan = dict(re.findall(r"(\w+): (\w+)(?=[;.])", prompt))
    one, other = re.search(r"(\w+) has asked (\w+) to swap", prompt).groups()
    day = re.search(r"on (\w+) now", prompt).group(1)
    return {one: other, other: one}.get(plan[day], plan[day])


def listed(prompt: str) -> list[str]:
    return re.search(r"commas: ([\w., ]*\w)", prompt).group(1).split(". ")[0].split(", ")


def in_order(prompt: str) -> str:
    return ", ".join(sorted(listed(prompt), key=lambda word: [ord(letter) for letter in word]))


def decimals(prompt: str) -> str:
    return ", ".join(sorted(listed(prompt), key=Decimal))


def as_json(prompt: str) -> str:
    text = prompt.split("\n\n")[1]
    (age,) = numbers(text)
    job = re.search(r"(?:is|as) an? (\w+)", text).group(1)
    city = re.search(r"(?:from|left|in) ([A-Z]\w+)", text).group(1)
    (name,) = set(re.findall(r"[A-Z][a-z]+", text)) - {city, "At", "We"}
    return f'{{"name": "{name}", "age": {age}, "job": "{job}", "city": "{city}"}}'


def letters(prompt: str) -> str:
    letter, sentence = re.search(r"letter “(\w)” .*\n\n(.*)", prompt).groups()
    return str(Counter(sentence.casefold())[letter])


def backwards(prompt: str) -> str:
    return "".join(reversed(re.search(r"“(\w+)”", prompt).group(1)))


def roman(prompt: str) -> str:
    thousands, hundreds, tens, units = re.search(r"year (\d{4})", prompt).group(1)
    digits = ["", "a", "aa", "aaa", "ab", "b", "ba", "baa", "baaa", "ac"]
    places = zip((thousands, hundreds, tens, units), ("M--", "CDM", "XLC", "IVX"), strict=True)
    return "".join(digits[int(digit)].translate(str.maketrans("abc", signs)) for digit, signs in places)


def table(prompt: str) -> str:
    counts = [int(count) for count in re.findall(r"\| \w+ \| (\d+) \|", prompt)]
    assert len(counts) == 4
    return str(max(counts) - min(counts))


SOLVERS = {
    "change": change,
    "expression": expression,
    "discount": discount,
    "bags": bags,
    "speed": speed,
    "sequence": sequence,
    "median": middle,
    "loop": printed,
    "later date": later,
    "days between": until,
    "weekday": weekday,
    "arrival": arrival,
    "mail": mail,
    "shift": shift,
    "in order": in_order,
    "decimals": decimals,
    "as JSON": as_json,
    "letters": letters,
    "backwards": backwards,
    "roman": roman,
    "table": table,
}
ONLY = ("answer only.", "Just the answer, please.", "nothing but the answer.", "Reply with the JSON only.")
SHOWN = ("how you got there.", "show your working.", "Show the steps.")
STYLES = ["terse", "worked", "verbose"]


@pytest.fixture(scope="module")
def records():
    return sample.records()


def prompt_of(record: dict) -> str:
    return record["prompt"][0]["content"]


def gives(text: str, answer: str) -> bool:
    """Whether the answer stands in the text, with nothing around it that would make it another one."""
    places = [found.start() for found in re.finditer(re.escape(answer), text)]
    around = [(text[:at][-2:], text[at + len(answer) :][:2]) for at in places]
    return any(
        not re.search(r"\w$|\d[.,:]$|[-−]$", before) and not re.match(r"\w|[.,:]\d", behind)
        for before, behind in around
    )


def derived_truth(record: dict) -> int | str:
    """The better response by the three rules, from the prompt, the two texts and their styles."""
    prompt = prompt_of(record)
    answer = SOLVERS[record["meta"]["kind"]](prompt)
    ranks = []
    for response, made in zip(record["responses"], record["meta"]["made"], strict=True):
        style = made.split(", ")[1]
        is_right = gives(response["text"], answer)
        in_form = True
        if any(words in prompt for words in ONLY):
            in_form = response["text"] == answer
        elif any(words in prompt for words in SHOWN):
            in_form = style != "terse"
        ranks.append((is_right, is_right and in_form, -STYLES.index(style)))
    return "tie" if ranks[0] == ranks[1] else ranks.index(max(ranks))


@pytest.mark.parametrize("kind", sorted(SOLVERS))
def test_every_right_answer_and_every_truth_is_derived_again_from_the_text(records, kind):
    of_kind = [record for record in records if record["meta"]["kind"] == kind]
    assert len(of_kind) >= 70
    for record in of_kind:
        assert SOLVERS[kind](prompt_of(record)) == record["reference"], prompt_of(record)
        assert derived_truth(record) == record["human_majority"], record


def test_a_wrong_truth_would_be_noticed(records):
    for record in records[:200]:
        first, second = record["responses"]
        exchanged = record | {
            "responses": [second, first],
            "meta": record["meta"] | {"made": record["meta"]["made"][::-1]},
        }
        if record["human_majority"] != "tie":
            assert derived_truth(exchanged) == 1 - record["human_majority"]
    dull = records[0] | {"responses": [{"text": "I do not know."}, {"text": "I do not know either."}]}
    assert derived_truth(dull | {"meta": {"kind": "change", "made": ["wrong, terse", "wrong, terse"]}}) == "tie"


def test_what_is_said_to_be_right_is_right_and_nothing_else(records):
    for record in records:
        for response, made in zip(record["responses"], record["meta"]["made"], strict=True):
            assert gives(response["text"], record["reference"]) == made.startswith("right"), (record["id"], made)


def test_another_seed_gives_other_prompts_with_truths_as_good():
    one, other = sample.records(420, seed=1), sample.records(420, seed=2)
    assert len({prompt_of(record) for record in one} & {prompt_of(record) for record in other}) < 21
    assert all(derived_truth(record) == record["human_majority"] for record in one + other)


def test_the_sample_is_the_same_every_time(records):
    assert sample.jsonl() == sample.jsonl()
    assert [json.loads(line) for line in sample.jsonl().splitlines()] == records


def test_a_shorter_sample_is_the_beginning_of_the_longer_one(records):
    assert sample.records(100) == records[:100]


def test_there_are_enough_pairs_of_enough_kinds_and_no_prompt_twice(records):
    assert len(records) >= 1500 and len({prompt_of(record) for record in records}) == len(records)
    assert {record["meta"]["kind"] for record in records} == set(SOLVERS) and len(SOLVERS) >= 8
    assert len({record["id"] for record in records}) == len(records)


def test_the_label_is_not_in_the_position(records):
    told = Counter(record["human_majority"] for record in records)
    assert 0.46 < told[0] / (told[0] + told[1]) < 0.54
    assert 0.02 < told["tie"] / len(records) < 0.07


def test_there_are_both_right_and_both_wrong_and_every_style_of_both(records):
    made = Counter(tuple(sorted(text.split(",")[0] for text in record["meta"]["made"])) for record in records)
    assert made["right", "wrong"] > 0.7 * len(records)
    assert made["right", "right"] > 0.08 * len(records) and made["wrong", "wrong"] > 0.04 * len(records)
    each = Counter(text for record in records for text in record["meta"]["made"])
    assert len(each) == 6 and min(each.values()) > 100


def test_styles_are_what_their_names_say(records):
    length = {style: [] for style in STYLES}
    for record in records:
        for response, made in zip(record["responses"], record["meta"]["made"], strict=True):
            length[made.split(", ")[1]].append(len(response["text"]))
    assert mean(length["terse"]) < 50 < mean(length["worked"]) < 200 < mean(length["verbose"])


def test_texts_are_varied(records):
    texts = [response["text"] for record in records for response in record["responses"]]
    openings = {text[:25] for text in texts}
    assert len(set(texts)) > 0.85 * len(texts) and len(openings) > 500
    assert not any("{" in text and record_is_not_json(text) for text in texts)


def record_is_not_json(text: str) -> bool:
    return not re.search(r'\{"name": ', text)


def test_every_record_is_read_without_complaint(records):
    rows = [row for record in records for row in rows_of(read_responses(record), 1)]
    assert format_of(records[0]).name == RECORD
    assert all(row.pair.reference and row.truth is not None and row.pair.domain == "concord-sample" for row in rows)


def test_chance_is_even_and_follows_its_name_alone():
    values = [uniform("x", number) for number in range(4000)]
    assert min(values) >= 0 and max(values) < 1 and abs(mean(values) - 0.5) < 0.02
    assert uniform("x", 1) == values[1] != uniform("y", 1)
    one, other = Draw("a", 1), Draw("a", 1)
    assert [one.integer(1, 6) for _ in range(20)] == [other.integer(1, 6) for _ in range(20)]
    assert Counter(Draw("d", number).integer(1, 3) for number in range(300)).keys() == {1, 2, 3}
    assert sorted(Draw("s").several("abc", 3)) == ["a", "b", "c"]
    drawn = Counter(Draw("w", number).weighted((("a", 3), ("b", 1))) for number in range(800))
    assert 540 < drawn["a"] < 660
