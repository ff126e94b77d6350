"""The light text features."""

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from concord.reward import features

ENOUGH = [
    f"the {a} {b} walks to the {c}, slowly" for a in ("old", "new", "big") for b in ("dog", "cat") for c in "xyzw"
]
text = st.text(alphabet="aAbB zé1,.?!\n\t_Ω日", max_size=60)


@pytest.fixture(scope="module")
def basis():
    return features.fit(ENOUGH, 8, seed=1)


def assert_counted(found, grams):
    """The counts are those of the grams; where two of them share one of 2^18 buckets, their counts stand together there."""
    wanted = sorted(Counter(grams).values())
    shared = len(wanted) - len(found)
    assert sum(found) == sum(wanted) and 0 <= shared <= 2
    assert shared or sorted(found) == wanted


@settings(deadline=None)
@given(st.lists(text, min_size=1, max_size=5))
# Two of its grams share a bucket.
@example(["!,BA1_?_"])
def test_grams_are_counted_as_scikit_learn_counts_them(texts):
    everything = (np.arange(2**18, dtype=np.int32), 2**18)
    words, grams = features._counts(texts, everything, everything)
    word = CountVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b|[?!]").build_analyzer()
    char = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5)).build_analyzer()
    for row, one in enumerate(texts):
        assert_counted(words[[row]].data, word(one))
        assert_counted(grams[[row]].data, char(one))


def test_the_same_texts_and_seed_give_the_same_bytes(basis):
    again = features.fit(ENOUGH, 8, seed=1)
    assert all(np.array_equal(value, again.arrays()[name]) for name, value in basis.arrays().items())


def test_a_text_has_the_same_features_in_any_company(basis):
    alone = np.vstack([features.transform(basis, [one]) for one in ENOUGH])
    assert features.transform(basis, ENOUGH) == pytest.approx(alone, abs=1e-5)


def test_a_basis_survives_a_file_without_pickles(basis):
    file = io.BytesIO()
    np.savez(file, **basis.arrays())
    file.seek(0)
    stored = features.Basis.from_arrays(dict(np.load(file, allow_pickle=False)))
    assert np.array_equal(features.transform(stored, ENOUGH), features.transform(basis, ENOUGH))


def test_a_basis_of_another_format_is_refused(basis):
    with pytest.raises(ValueError, match="format 99"):
        features.Basis.from_arrays(basis.arrays() | {"format": np.array(99)})


def test_swapping_the_responses_negates_the_difference(basis):
    there = features.differences(basis, ENOUGH[:9], ENOUGH[9:18])
    back = features.differences(basis, ENOUGH[9:18], ENOUGH[:9])
    assert there.dtype == np.float16 and there.shape == (9, basis.dimensions)
    assert np.array_equal(there, -back)


def test_equal_responses_do_not_differ(basis):
    assert not features.differences(basis, ENOUGH, ENOUGH).any()


def test_projections_and_statistics_have_a_common_scale():
    generator = np.random.default_rng(0)
    vocabulary = [f"w{i}" for i in range(200)]
    texts = [" ".join(generator.choice(vocabulary, generator.integers(3, 60))) + "!" * (i % 3) for i in range(300)]
    x = features.transform(features.fit(texts, 16, seed=0), texts)
    assert x[:, :-12].std() == pytest.approx(1, abs=0.01)
    sd = x[:, -12:].std(axis=0)
    assert sd[sd > 0] == pytest.approx(np.ones((sd > 0).sum()), abs=0.01)


def test_the_last_columns_are_the_statistics_over_their_sd(basis):
    x = features.transform(basis, ENOUGH)
    assert x[:, -12:] == pytest.approx(features.surface_statistics(ENOUGH) / basis.statistics_sd)


def test_statistics_count_what_they_say():
    row = dict(
        zip(features.STATISTICS, features.surface_statistics(["I'm sorry, 2 lines?\n- Yes yes!"])[0], strict=True)
    )
    counts = {
        "lines": 1,
        "question marks": 1,
        "exclamation marks": 1,
        "commas": 1,
        "digits": 1,
        "list items": 1,
        "first person": 1,
        "refusals": 1,
        "words": 7,
        "characters": 30,
    }
    assert {name: round(float(np.expm1(row[name]))) for name in counts} == counts
    assert row["distinct words"] == pytest.approx(7 / 7) and row["word length"] == pytest.approx(24 / 7)


@pytest.mark.parametrize(
    "texts", [[], [""], ["", ""], ["a"], ["same words"] * 5, ["   \n", "\ud800 lone", "x" * 50_000]]
)
def test_strange_corpora_still_make_a_basis(texts):
    basis = features.fit(texts, 256, seed=0)
    assert basis.dimensions <= 12 + max(len(texts) - 1, 0)
    x = features.transform(basis, [*texts, "something quite different"])
    assert x.shape == (len(texts) + 1, basis.dimensions) and np.all(np.isfinite(x))
    assert features.differences(basis, [], []).shape == (0, basis.dimensions)


def test_similar_texts_lie_closer_than_others():
    texts = [f"{a} {b}" for a in ("green apples and pears", "fast cars and trains") for b in "abcdefgh"]
    x = features.transform(features.fit(texts, 8, seed=0), ["green pears", "apples and pears", "fast trains"])[:, :-12]
    assert x[0] @ x[1] > x[0] @ x[2]
