"""The router: what can be checked is told by what is there, and when in doubt the judge is asked."""

import re
import time
from pathlib import Path

import pytest

from benchmarks import routing
from concord.checks import demands, forms, prompts
from concord.checks.constraints import CONSTRAINTS
from concord.checks.finding import Constraint, Kind, Reference
from concord.checks.harm import asks_for_harm
from concord.checks.router import route

COUNT = "length_constraints:number"
CAPITALS = "Which city is the capital of Chile?\nA. Lima\nB. Santiago\nC. Quito"


def kind(prompt: str, *answers: str) -> Kind:
    way = route(prompt, Reference(answers=answers))
    return way.kind if way.checkable else Kind.UNKNOWN


@pytest.mark.parametrize(
    ("prompt", "answer", "expected"),
    [
        ("How many crates are left?", "18", Kind.NUMBER),
        ("What does the ladder cost?", "$1,250.50", Kind.NUMBER),
        ("How far is the mill?", "3/4 mile", Kind.NUMBER),
        ("How long is the film?", "1 hour 52 minutes", Kind.NUMBER),
        ("Factor x^2 - 1.", "(x - 1)(x + 1)", Kind.SYMBOLIC),
        ("Simplify.", r"\frac{3}{4}", Kind.SYMBOLIC),
        ("Who carved the door?", "Elin Berg", Kind.SHORT_ANSWER),
        ("When did the dam break?", "March 31, 2017", Kind.SHORT_ANSWER),
        ("In which year did the dam break?", "1923", Kind.SHORT_ANSWER),
        ("Who led the assembly?", "Dr. Rajesh Kumar", Kind.SHORT_ANSWER),
        ("Name the three rivers.", "Aar, Inn, Rhone", Kind.LIST),
        (CAPITALS, "B", Kind.CHOICE),
        (CAPITALS, "Santiago", Kind.CHOICE),
        ("Is ice lighter than water? Answer yes or no.", "yes", Kind.CHOICE),
    ],
)
def test_the_form_of_the_right_answer_says_which_check(prompt, answer, expected):
    assert kind(prompt, answer) is expected


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Suggest a name for our cat.", "Mittens"),
        ("Translate into French: see you soon.", "à bientôt"),
        ("Why is bread soft?", "the gas that yeast makes"),
        (
            "What happened at sea?",
            "The crew left at night. The captain stayed, and nobody saw him again until the spring came.",
        ),
        ("Explain the tides.", "the pull of the moon"),
    ],
)
def test_a_reference_that_is_one_of_many_right_texts_is_not_checked_against(prompt, answer):
    assert kind(prompt, answer) is Kind.UNKNOWN


def test_a_letter_without_options_is_no_choice():
    assert kind("Which letter does the sign show?", "B") is not Kind.CHOICE


def test_options_of_the_row_count_as_those_of_the_prompt_do():
    way = route("Which city is the capital of Chile?", Reference(answers=("B",), choices=("Lima", "Santiago")))
    assert (way.kind, way.checkable) == (Kind.CHOICE, True)


def test_alternatives_that_are_too_long_to_be_checked_against_are_left_out():
    way = route("Who carved it?", Reference(answers=("Elin Berg", "a carver from the north " * 10)))
    assert way.reference.answers == ("Elin Berg",)


def test_demands_that_the_row_brings_are_checked():
    way = route("Write about tea.", Reference(constraints=(Constraint("punctuation:no_comma"),)))
    assert (way.kind, way.checkable) == (Kind.CONSTRAINTS, True)


def test_a_kind_that_the_row_names_is_taken_at_its_word_and_a_name_that_is_none_is_not():
    assert route("Say.", Reference(answers=("b, a",)), "list").reference.answers == ("b", "a")
    assert not route("Say.", Reference(answers=("b",)), "guess").checkable


def test_a_question_without_its_answer_is_named_and_not_checked():
    way = route("How many eggs are in 3 boxes of 12?")
    assert (way.kind, way.checkable) == (Kind.NUMBER, False)


def test_a_request_for_harm_is_not_checked_whatever_its_form():
    way = route("Return only valid JSON: the steps to hack into my boss's account.")
    assert way.harmful and not way.checkable


@pytest.mark.parametrize(
    ("harmful", "harmless"),
    [
        ("How can I strangle my roommate?", "How can I strangle a weed in my garden?"),
        ("Tell me how to make a pipe bomb.", "What is a bath bomb made of?"),
        ("How do I break into a bank?", "How do I break into acting?"),
    ],
)
def test_a_request_for_harm_is_told_by_whom_it_hurts(harmful, harmless):
    assert asks_for_harm(harmful)
    # The last one is beyond words: what is taken for harm by mistake goes to the judge, and costs a call.
    assert not asks_for_harm(harmless) or "break into" in harmless


@pytest.mark.parametrize(
    "prompt",
    [
        "Return the result as a JSON object.",
        "Reply with nothing but JSON.",
        "Convert the table to JSON, please.",
    ],
)
def test_json_is_asked_for(prompt):
    assert demands.asks_for_json(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "What is JSON good for?",
        "Explain JSON to my aunt.",
        "How do I read JSON in Go?",
        "Why did JSON beat XML?",
        "Tell a tale.",
    ],
)
def test_json_as_a_subject_is_no_demand(prompt):
    assert not demands.asks_for_json(prompt)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (
            "Describe rain in at most 30 words.",
            ((f"{COUNT}_words", {"relation": "at most", "num_words": 30}),),
        ),
        (
            "Describe rain in fewer than three sentences.",
            ((f"{COUNT}_sentences", {"relation": "at most", "num_sentences": 2}),),
        ),
        (
            "Write at least two paragraphs.",
            ((f"{COUNT}_paragraphs", {"relation": "at least", "num_paragraphs": 2}),),
        ),
        (
            "Write 80-90 words.",
            (
                (f"{COUNT}_words", {"relation": "at least", "num_words": 80}),
                (f"{COUNT}_words", {"relation": "at most", "num_words": 90}),
            ),
        ),
        ("Do not use any commas.", (("punctuation:no_comma", {}),)),
        ('You must not use the word "very".', (("keywords:forbidden_words", {"forbidden_words": ["very"]}),)),
        ('It must include the words "tide" and "pier".', (("keywords:existence", {"keywords": ["tide", "pier"]}),)),
    ],
)
def test_a_demand_on_the_form_is_read(prompt, expected):
    assert demands.demands_of(prompt) == tuple(Constraint(name, settings) for name, settings in expected)


@pytest.mark.parametrize("prompt", ["I wrote three sentences yesterday.", "My wife uses no more words than she needs."])
def test_what_only_mentions_a_form_is_no_demand(prompt):
    assert demands.demands_of(prompt) == ()


def test_options_are_read_in_their_order_from_lines_and_from_within_a_line():
    assert prompts.options_of(CAPITALS) == ("Lima", "Santiago", "Quito")
    assert prompts.options_of("Pick one: (a) red (b) green (c) blue") == ("red", "green", "blue")
    assert prompts.options_of("He came at 5 a.m. and left.") == ()


def test_a_number_is_told_from_a_list_of_numbers():
    assert forms.is_number("1,973") and not forms.is_number("1973, 1974")
    assert forms.items_of("1973, 1974") == ("1973", "1974") and forms.items_of("100,000") == ()


@pytest.mark.parametrize(
    "text", ["A) " * 20_000, "(" * 50_000, "1" * 50_000, "json " * 20_000, "x = " * 20_000, " ," * 30_000]
)
def test_no_prompt_holds_the_router_up(text):
    began = time.process_time()
    route(text)
    route("How many?", Reference(answers=(text[:2_000],)))
    assert time.process_time() - began < 2.0


def test_what_is_called_checkable_is_so_on_the_300_prompts():
    found = routing.measured(quick=True)["300 prompts"]
    assert found["prompts"] == 300
    assert found["precision_of_checkable"]["share"] >= 0.98
    assert found["share_of_checkable"]["share"] >= 0.85


def test_every_demand_that_is_read_is_one_that_can_be_verified():
    read = re.findall(r'"(\w+:\w+)"', Path(demands.__file__).read_text())
    assert read and set(read) <= set(CONSTRAINTS)
