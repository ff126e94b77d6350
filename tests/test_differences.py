"""Sentences that both answers say: linked, unless what is said differs."""

from hypothesis import given
from hypothesis import strategies as st

from concord.console.differences import linked, sentences, unfenced


def links(first: str, second: str) -> tuple[list[int], list[int]]:
    one, other = linked(first, second)
    return [s.link for s in one], [s.link for s in other]


def test_what_both_say_is_linked_and_what_one_says_alone_is_not():
    first = "Paris is the capital of France. It lies on the Seine. I love croissants!"
    second = "The Seine flows through it. The capital of France is Paris."
    assert links(first, second) == ([1, 0, 0], [0, 1])


def test_sentences_that_differ_in_a_number_or_a_negation_are_not_the_same():
    assert links("The bridge was built in 1932.", "The bridge was built in 1923.") == ([0], [0])
    assert links("You should take this with food.", "You should not take this with food.") == ([0], [0])
    assert links("You should take this with food.", "You should take this with food.") == ([1], [1])


def test_each_sentence_is_linked_with_one_at_most():
    assert links("Stir it well.", "Stir it well. Stir it well.") == ([1], [1, 0])


def test_code_is_the_same_only_letter_for_letter():
    code = "```\nx = 1\n```"
    assert links(f"Do this:\n{code}", f"Then:\n{code}")[0] == [0, 1]
    assert links(f"Do this:\n{code}", "Then:\n```\nx = 2\n```") == ([0, 0], [0, 0])


def test_a_block_of_code_is_shown_without_its_fences():
    assert unfenced("```python\nx = 1\n```") == "x = 1" and unfenced("```\nx") == "x"


def test_sentences_are_told_apart_at_ends_and_lines_and_keep_their_text():
    said = sentences("One. Two?  Three!\n\n- four\n```\na.b. c\n```\nfive")
    assert [s.text for s in said] == ["One.", "Two?", "Three!", "- four", "```\na.b. c\n```", "five"]
    assert [s.ends_line for s in said] == [False, False, True, True, True, True]


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_words_are_lost_and_links_come_in_pairs(first, second):
    one, other = linked(first, second)
    for text, said in ((first, one), (second, other)):
        assert "".join("".join(s.text for s in said).split()) == "".join(text.split())
    left, right = ([s.link for s in said if s.link] for said in (one, other))
    assert sorted(left) == sorted(right) == list(range(1, len(left) + 1))
