"""The page is one file, says only what is known, and shows strangers' texts as text."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

from concord.certificate.certificate import Certificate
from concord.report import distribution, overruled_cases, overview, sections, words
from concord.report.accuracy import Evaluation
from concord.report.figures import Figures, Method, figures_of
from concord.report.judge_answers import Order
from concord.report.ledger import Usage
from concord.report.markup import Markup, element, joined, text
from concord.report.page import page
from concord.v1.events_pb2 import AnswerFault, Stage
from tests.small_run import config_of, small_run

HOSTILE = (
    '</div></style></title><script>alert("x")</script><img src=x onerror=alert(1)> ${title} $body &lt;b&gt; \x00\u202e',
    "<svg/onload=alert(2)><iframe src='javascript:alert(3)'></iframe>\"'><a href=\"javascript:alert(4)\">",
    "]]><!-- <base href='//evil.example'><form action=//evil.example><style>*{display:none}</style>",
)
ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "section",
    "article",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "div",
    "dl",
    "dt",
    "dd",
    "figure",
    "figcaption",
    "strong",
    "ul",
    "li",
    "i",
    "table",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "th",
    "td",
    "pre",
    "code",
    "details",
    "summary",
    "svg",
    "g",
    "path",
    "text",
    "defs",
    "use",
    "clippath",
    "rect",
}


class Reader(HTMLParser):
    """What a browser would make of the page: its elements, its attributes, its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} closes what it did not open"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@cache
def measured(truth: bool = True) -> Figures:
    run = small_run()
    return figures_of(run.events, run.blobs.get, run.truth if truth else None)


_DRAWN: dict[int, tuple[Figures, str]] = {}


def drawn(figures: Figures) -> str:
    """The page of figures that several tests share, drawn once."""
    # Held, so that no other figures get the same number.
    if id(figures) not in _DRAWN:
        _DRAWN[id(figures)] = (figures, page(figures))
    return _DRAWN[id(figures)][1]


@cache
def hostile() -> Figures:
    """All pairs that people overruled the judge on say something hostile; so do comment, input name and criteria."""
    quiet = measured()
    run = small_run(texts={pair.index: HOSTILE for pair in quiet.overruled})
    for event, _ in run.events:
        if event.WhichOneof("kind") == "run_created":
            event.run_created.input_name = HOSTILE[0]
            event.run_created.config.judge.name, event.run_created.config.judge.criteria = HOSTILE[1], HOSTILE[2]
        if event.WhichOneof("kind") == "annotation_submitted":
            event.annotation_submitted.comment = HOSTILE[2]
        if event.WhichOneof("kind") == "shard_labeled":
            cut = AnswerFault.ANSWER_FAULT_CUT
            event.shard_labeled.faults.add(judge=HOSTILE[1], fault=cut, answers=1)
            event.shard_labeled.kept_answers.add(judge=HOSTILE[1], fault=cut, text=HOSTILE[0])
    return figures_of(run.events, run.blobs.get, run.truth)


def test_the_page_is_well_formed_and_of_known_elements():
    reader = Reader(drawn(measured()))
    assert reader.open == [] and {tag for tag, _ in reader.elements} <= ALLOWED


def test_hostile_texts_stay_texts():
    html = drawn(hostile())
    reader = Reader(html)
    assert reader.open == [] and {tag for tag, _ in reader.elements} <= ALLOWED
    assert not [name for _, attributes in reader.elements for name in attributes if name.startswith("on")]
    assert '<script>alert("x")</script>' in reader.text and "<svg/onload=alert(2)>" in reader.text
    assert "${title} $body &lt;b&gt;" in reader.text
    assert "\x00" not in html and "\u202e" not in html


def test_hostile_texts_add_no_elements():
    kinds = lambda figures: sorted({tag for tag, _ in Reader(drawn(figures)).elements})  # noqa: E731
    assert kinds(hostile()) == kinds(measured())
    assert sum("evil.example" in text for text in (p.second for p in hostile().overruled)) > 0


def test_answers_that_are_no_verdict_are_shown_by_cause_with_what_to_do_and_as_texts():
    reader = Reader(drawn(hostile()))
    assert "Answers of the judge that are no verdict" in reader.text and "max_tokens" in reader.text
    assert "Answers of the judge that are no verdict" not in Reader(drawn(measured())).text


def test_a_judge_that_follows_the_place_of_an_answer_is_told_of_first():
    order = Order(38, 40, 78, True, "the judge says A in 78 of 80 answers")
    lead = words.summary(replace(measured(), order=order))
    assert "follow the place of an answer: the judge says A in 78 of 80 answers" in lead
    assert "place of an answer" not in words.summary(measured())


def test_calls_without_a_price_are_no_zero_dollars():
    known = measured()
    unknown = replace(known, usage=replace(known.usage, dollars=None), cost=replace(known.cost, judge=None))
    text = Reader(joined(*(section(unknown) for section in (overview.header, overview.bought, sections.ledger)))).text
    assert "price unknown" in text and "$0.00" not in text and "no price was given" in text


def test_an_estimate_that_falls_while_more_labels_are_right_is_explained():
    first, *_, last = measured().rounds
    falling = (
        replace(first, estimated_accuracy=0.93, accuracy=0.70),
        replace(last, estimated_accuracy=0.90, accuracy=0.80),
    )
    assert "falls from 93.0" in words.sobered(falling) and "trust in itself" in words.sobered(falling)
    assert words.sobered(falling[::-1]) == "" and words.sobered(falling[:1]) == ""


def test_the_page_needs_no_network_and_no_script():
    reader = Reader(drawn(hostile()))
    for tag, attributes in reader.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), f"{tag} {name} leads out of the page"
    style = re.search(r"<style>(.*?)</style>", drawn(measured()), re.DOTALL).group(1)
    assert "url(" not in style and "@import" not in style
    policy = next(a["content"] for t, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "script-src" not in policy


def test_references_inside_drawings_lead_to_one_element_each():
    html = drawn(measured())
    ids = re.findall(r'\bid="([^"]+)"', html)
    wanted = set(re.findall(r"url\(#([^)]+)\)", html)) | set(re.findall(r'href="#([^"]+)"', html))
    assert len(ids) == len(set(ids)) and wanted <= set(ids) and wanted


def test_drawings_take_their_colours_from_the_style_sheet():
    html = drawn(measured())
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert "var(--ink)" in drawings and "var(--blue)" in drawings and "var(--orange)" in drawings
    assert not re.findall(r"(?:fill|stroke): #(?!fff)[0-9a-f]{3,6}", drawings)


def test_the_same_figures_give_the_same_page():
    assert page(measured()) == drawn(measured())


def test_without_truth_the_page_claims_no_accuracy():
    said = Reader(drawn(measured(truth=False))).text
    assert "measured against the truth" not in said.lower() and "Measured" not in said
    assert "only estimated" in said and "95 % interval" in said
    assert "People against the truth" not in said


def test_the_certificate_says_first_what_differs_from_a_person_and_then_the_corrected_figure():
    known = Certificate(200, "abc", 9, 0.184, 0.1, 0.3, answers=47, re_asks=30)
    box = page(replace(measured(), certificate=known))
    assert "18.4 % differ from one person&#x27;s answer" in box and "not known" in Reader(box).text
    corrected = replace(known, people_error=0.05, corrected=0.155, corrected_low=0.05, corrected_high=0.28)
    said = Reader(page(replace(measured(), certificate=corrected))).text
    assert said.index("18.4 % differ") < said.index("15.5 % without people's own error")


def test_with_truth_the_page_says_what_was_measured():
    figures = measured()
    said = Reader(page(figures)).text
    assert words.percent(figures.label_accuracy.final) in said and "Measured against the truth" in said


def test_a_simulation_is_called_one_and_a_real_run_is_not():
    assert "This is a simulation" in drawn(measured())
    assert "imulat" not in words_of(simulation=(), config={**measured().config, "annotators": "console"})


def test_answers_from_the_file_of_the_truth_are_said_to_be():
    recorded = replace(measured(), config={**measured().config, "annotators": "recorded"})
    assert "read from the same file" in words.summary(recorded) and "same file" not in words.summary(measured())


@pytest.mark.parametrize("method", ["none", "random"])
def test_other_methods_have_a_page_of_what_they_did(method):
    run = small_run(config_of(method))
    said = Reader(page(figures_of(run.events, run.blobs.get, run.truth))).text
    assert "Reward distribution" not in said and "Ledger" in said
    assert ("Nobody was asked" in said) == (method == "none")


@pytest.mark.parametrize(
    "stage", [Stage.STAGE_PILOT_LABEL, Stage.STAGE_SCORE, Stage.STAGE_ANNOTATE, Stage.STAGE_DATASET]
)
def test_an_unfinished_run_says_so_first(stage):
    run = small_run(stop_at=stage)
    figures = figures_of(run.events, run.blobs.get, run.truth)
    assert words.summary(figures).startswith("This run is not finished: it is running.")
    assert Reader(page(figures)).open == []


def test_a_run_that_the_gate_stopped_says_why():
    run = small_run(judge_inverted=True)
    said = Reader(overview.header(figures_of(run.events, run.blobs.get))).text
    assert "it is paused (people agree with the judge on" in said


def test_pairs_without_a_verdict_are_said_and_no_single_order_is_claimed():
    said = words_of(overview.header, sections.leanings, without_verdict=measured().pairs, order_flips=None)
    assert "no usable verdict" in said and "one order only" not in said
    assert "no usable verdict from the judge" not in words_of(overview.header, without_verdict=0)


def test_a_gap_that_is_too_small_is_not_given():
    said = words_of(overview.bought, evaluation=Evaluation(0.70, 0.75, 0.75, 400))
    assert "a gap of under 8 points" in said and "closed" in said
    assert "closed 50" + words.NARROW + "% of the gap" in words_of(
        overview.bought, evaluation=Evaluation(0.6, 0.7, 0.8, 400), gap_closed=0.5
    )


def test_the_ledger_leaves_out_what_was_not_used():
    free = replace(measured(), usage=Usage(seconds=3.0), ledger=())
    assert "Tokens in" in words_of() and "Tokens in" not in Reader(sections.ledger(free)).text


def test_pairs_are_said_to_be_ordered_by_what_is_known_of_them():
    unsure = tuple(replace(pair, judge_confidence=None) for pair in measured().overruled)
    assert "the judge's surest verdicts first" in words_of()
    assert "surest" not in words_of(overruled_cases.overruled, overruled=unsure)


def test_methods_are_compared_where_there_is_more_than_one():
    assert "Beside other methods" not in words_of()
    assert "Beside other methods" in words_of(
        overview.bought, methods={"random": Method(None, 48), **measured().methods}
    )


def words_of(*only: Callable[[Figures], Markup | None], **changes) -> str:
    """The page's text with these figures changed; `only`: of these sections, for whoever changes nothing in the others."""
    if not changes:
        return Reader(drawn(measured())).text
    figures = replace(measured(), **changes)
    return Reader(joined(*(section(figures) for section in only)) if only else page(figures)).text


def test_the_page_tells_how_to_replay_and_what_must_come_out():
    said = words_of()
    assert f"concord replay {measured().run_id}" in said
    assert measured().dataset_sha256 in said and measured().history_sha256 in said


def test_text_is_escaped_unless_it_is_markup():
    assert element("p", "<b>", Markup("<b>"), None, 3) == "<p>&lt;b&gt;<b>3</p>"
    assert element("p", class_='a" onclick="x', aria_label=None) == '<p class="a&quot; onclick=&quot;x"></p>'
    assert isinstance(joined("a", text("<")), Markup) and joined("a", text("<")) == "a&lt;"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min"),
        (125, "2 min 5 s"),
        (119.6, "2 min"),
        (3_599.9, "60 min"),
        (3_600, "1 h"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
        (900_000, "10 d"),
    ],
)
def test_durations_read_as_people_say_them(seconds, said):
    assert words.duration(seconds).replace(words.NARROW, " ") == said


def test_small_sums_are_not_shown_as_nothing():
    assert (words.dollars(0), words.dollars(0.0042), words.dollars(1234.5)) == ("$0.00", "$0.0042", "$1,234.50")


@cache
def votes_by_three() -> Figures:
    run = small_run(config_of(quorum=3, human_budget=90))
    return figures_of(run.events, run.blobs.get, run.truth)


@cache
def compared() -> Figures:
    """As with --compare: other methods' curves beside the run's own."""
    others = {
        "random": Method(0.71, 48, ((0, 0.70), (24, 0.705), (48, 0.71))),
        "none": Method(0.70, 0, ((0, 0.70),)),
        "longest": Method(0.3, 0, ((0, 0.3),)),
        "all-human": Method(1.0, 200, ((0, 0.7), (200, 1.0))),
    }
    return replace(measured(), methods={**measured().methods, **others})


def test_all_methods_are_on_one_chart_with_their_names_at_the_lines_ends():
    html = drawn(compared())
    chart = html[html.index("Right labels by method") :]
    chart = chart[: chart.index("</figure>")]
    for name in ("posterior", "random 71.0", "none 70.0", "longest 30.0"):
        assert f">{name}" in chart, name
    assert ">all-human" not in chart and "all-human" in Reader(html).text, "it needs more votes than the budget"
    assert "Right labels by method" not in drawn(measured())


def test_a_method_without_a_line_says_why_and_so_does_its_own_report():
    several = replace(compared(), methods={**compared().methods, "human-only": Method(0.74, 48, ((48, 0.74),))})
    assert "human-only: a point without a line" in Reader(overview.bought(several)).text
    assert "a point without a line" not in Reader(drawn(compared())).text
    run = small_run(config_of("human-only"))
    assert "only at its end" in Reader(overview.bought(figures_of(run.events, run.blobs.get, run.truth))).text
    assert "only at its end" not in words_of()


def test_each_round_is_told_with_what_it_bought():
    said = words_of()
    assert "Round by round" in said and "Gain, points" in said and "Votes" not in said.split("Round by round")[1][:60]
    assert "Gain, points" not in Reader(drawn(measured(truth=False))).text
    assert "Votes" in Reader(drawn(votes_by_three())).text.split("Round by round")[1][:60]


def test_the_bends_of_the_rewards_are_marked_and_explained():
    said = words_of()
    for name, mark in measured().reward_curve.bends:
        assert f"{name} at {mark.position + 1} of" in said
    unbent = replace(measured().reward_curve, elbow=None, knee=None, reflection=None)
    assert "No elbow and no knee and no reflection" in words_of(distribution.rewards, reward_curve=unbent)


def test_on_few_pairs_no_bend_is_marked_and_it_is_said_why():
    curve = measured().reward_curve
    few = replace(curve, pairs=30)
    assert curve.bends and few.bends == ()
    said = words_of(distribution.rewards, reward_curve=few)
    assert "on fewer than 100 pairs that is mostly chance" in said and "elbow at" not in said


def test_what_a_rounds_trust_and_a_logit_are_is_said_where_they_stand():
    said = words_of()
    assert "A logit is the logarithm of the odds" in said
    for trust in {r.trust for r in measured().rounds}:
        assert f"{words.TRUST[trust]}: {words.TRUSTED[trust]}" in said
    blind = tuple(replace(r, audit=None) for r in measured().rounds)
    assert "An audit looks from outside" in said and "An audit looks" not in words_of(sections.rounds, rounds=blind)


def test_no_axis_of_shares_goes_beyond_all_of_them():
    sure = tuple(replace(r, accuracy=1.0, estimated_accuracy=1.0, audit=None) for r in measured().rounds)
    right = replace(measured().label_accuracy, start=0.99, final=1.0)
    figures = replace(compared(), rounds=sure, label_accuracy=right)
    html = joined(sections.rounds(figures), overview.bought(figures))
    shares = [float(share) for share in re.findall(r">(\d+(?:\.\d+)?) %</text>", html)]
    assert shares and max(shares) <= 100 and 100 in shares


def test_why_a_run_stands_still_is_said_once():
    order = Order(38, 40, 78, True, "the judge says A in 78 of 80 answers")
    stopped = {"status": "paused", "order": order, "without_verdict": 12}
    told = words.summary(
        replace(measured(), **stopped, status_detail=f"no usable verdict on 12 of 40 pairs; {order.says}")
    )
    assert told.count("no usable verdict") == 1 and told.count(order.says) == 1
    assert "no usable verdict" in words.summary(replace(measured(), **stopped))


def test_beliefs_are_drawn_against_answers_or_their_absence_is_explained():
    checked = measured().calibration
    said = words_of()
    assert f"the model expected {checked.expected:,.1f}" in said and f"people found {checked.found}" in said
    unknown = replace(checked, absent="for a reason", bins=())
    assert "Not known: for a reason." in words_of(distribution.calibrated, calibration=unknown)


def test_the_cost_beside_people_alone_names_its_assumption():
    said = words_of()
    assert "an assumed $0.036 for a human label" in said and "--label-price" in said


def test_agreement_between_people_is_shown_where_several_answered_and_else_said_to_be_unknown():
    assert "answered by one person" in words_of()
    said = Reader(drawn(votes_by_three())).text
    assert "People say the same as each other" in said and "Krippendorff" in said


def test_every_drawing_has_a_form_for_the_phone_and_no_colour_of_its_own():
    html = drawn(compared())
    assert html.count('class="wide"') == html.count('class="narrow"') > 6
    for colour in ("--blue", "--orange", "--green", "--purple", "--paper"):
        # In the light, in the dark and on paper.
        assert html.count(f"{colour}: #") == 3, colour
