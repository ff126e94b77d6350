"""What an endpoint refuses in a request, and how it is asked then."""

import json

import pytest

from concord.labeling.dialect import STANDARD, Dialect, after, may_quote, plainer, spoken, wider
from concord.labeling.judge import RESPONSE_FORMAT, TOP_LOGPROBS
from concord.labeling.refusal import Words, of_error_in_200, of_status, words_of

REQUEST = {
    "model": "m",
    "messages": [{"role": "user", "content": "?"}],
    "temperature": 0.0,
    "max_tokens": 300,
    "seed": 1,
    "response_format": RESPONSE_FORMAT,
    "logprobs": True,
    "top_logprobs": TOP_LOGPROBS,
}


def once(body: object, dialect: Dialect = STANDARD) -> Dialect | None:
    """The dialect after one refusal with this body."""
    text = body if isinstance(body, str) else json.dumps(body)
    return after(dialect, spoken(REQUEST, dialect), words_of(text.encode()))


def message(text: str, param: str | None = None) -> dict:
    return {"error": {"message": text, "param": param}}


def test_the_standard_goes_out_as_it_is():
    assert spoken(REQUEST, STANDARD) == REQUEST and STANDARD.dropped == ()


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        (message("use 'max_completion_tokens' instead of max_tokens"), "max_tokens as max_completion_tokens"),
        (message("no", "max_tokens"), "max_tokens as max_completion_tokens"),
        (message("only the default temperature is supported"), "temperature left out"),
        (message("`temperature` must be strictly positive"), "temperature at least 0.01"),
        (message("no", "temperature"), "temperature left out"),
        (message("Unrecognized request argument supplied: seed"), "seed left out"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}, "seed left out"),
        ({"message": "Allowed are model, messages, temperature, max_tokens; got seed"}, "seed left out"),
        ("unknown field `seed`, expected one of `model`, `messages`, `temperature`", "seed left out"),
        ({"detail": "seed: extra fields not permitted"}, "seed left out"),
        (message("unknown variant `json_schema`, expected `json_object`"), "response_format tgi"),
        (message("no", "response_format"), "response_format tgi"),
        (message("no", "response_format.json_schema.schema"), "response_format tgi"),
        (
            message("Invalid schema for response_format: 'minimum' is not permitted"),
            "response_format plain json_schema",
        ),
        (message("grammar is not supported"), "response_format tgi"),
        ({"errors": [{"message": "structured outputs are off"}]}, "response_format tgi"),
        ([{"error": {"code": 400, "message": 'Unknown name "seed": Cannot find field.'}}], "seed left out"),
        ({"code": "Client gave an invalid argument", "error": "Argument not supported: seed"}, "seed left out"),
    ],
)
def test_the_field_that_a_refusal_names_is_put_otherwise(body, dropped):
    assert once(body).dropped == (dropped,)


@pytest.mark.parametrize(
    "body", [message("logprobs are off"), message("no", "top_logprobs"), message("no log-probabilities")]
)
def test_log_probabilities_go_together(body):
    assert once(body).dropped == ("logprobs left out", "top_logprobs left out")


@pytest.mark.parametrize(
    "body", [message("no"), message("bad prompt", "messages"), "", "<html>", "[]", "3", {"error": {"param": 5}}]
)
def test_a_refusal_that_names_nothing_changes_nothing(body):
    assert once(body) is None


def test_a_schema_is_asked_for_in_four_ways_and_then_not_at_all():
    dialect, seen = STANDARD, []
    for _ in range(3):
        dialect = once(message("no", "response_format"), dialect)
        seen.append(spoken(REQUEST, dialect).get("response_format", {}).get("type"))
    assert seen == ["json_object", "json_object", None]
    plain = spoken(REQUEST, Dialect(shape="plain json_schema"))["response_format"]["json_schema"]
    assert "strict" not in plain and "minimum" not in json.dumps(plain) and plain["schema"]["required"]


def test_a_limit_that_is_too_high_is_lowered_to_what_is_taken():
    lower = once(message("max_tokens is too large: at most 256 completion tokens are taken", "max_tokens"))
    assert spoken(REQUEST, lower)["max_tokens"] == 256


def test_a_thinking_model_gets_more_room_until_the_endpoint_has_no_more():
    roomy = wider(STANDARD, thinks=True)
    assert spoken(REQUEST, roomy)["max_tokens"] == 300 * 16
    assert wider(wider(roomy, True), True) is None
    assert wider(STANDARD, thinks=False).room == 2 and wider(Dialect(room=2), thinks=False) is None
    less = once(message("maximum context length is 4096 tokens, you asked for 5600"), roomy)
    assert less.room < 16 and wider(less, True) is None


def test_a_question_that_is_too_long_changes_nothing_though_the_limit_is_named():
    said = "'max_tokens' is too large: 300. The maximum context length is 4096 tokens and there are 4000 input tokens."
    assert once(message(said, "max_tokens")) is None


def test_a_word_of_the_question_may_be_quoted():
    asks = {**REQUEST, "messages": [{"role": "user", "content": "The temperature in Paris?"}]}
    assert may_quote(asks, Words("invalid prompt: The temperature in Paris?"))
    assert not may_quote(asks, Words("seed is unknown"))
    assert not may_quote(asks, Words("no", fields=("temperature",)))


def test_without_a_reason_everything_optional_goes_step_by_step():
    dialect, steps = STANDARD, 0
    while step := plainer(dialect, spoken(REQUEST, dialect)):
        dialect, steps = step, steps + 1
    assert set(spoken(REQUEST, dialect)) == {"model", "messages"} and steps <= 4


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (429, {"error": {"message": "no", "code": "insufficient_quota"}}, "endpoint"),
        (429, {"error": {"message": "You have run out of credits"}}, "endpoint"),
        (429, {"error": {"message": "Rate limit reached, try again in 2 s"}}, "limit"),
        (403, message("no", "logprobs"), "request"),
        (403, message("no"), "endpoint"),
        (400, message("insufficient balance"), "request"),
        (402, message("pay"), "endpoint"),
        (500, message("oh"), "passing"),
        (529, {}, "passing"),
        (422, {}, "request"),
    ],
)
def test_whose_fault_a_status_is(status, body, fault):
    assert of_status(status, {}, words_of(json.dumps(body).encode())).fault == fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"code": 402, "message": "Insufficient credits"}, "endpoint"),
        ({"code": "insufficient_quota"}, "endpoint"),
        ({"code": 429, "message": "slow down"}, "limit"),
        ("rate limit exceeded", "limit"),
        ({"message": "The model is overloaded"}, "passing"),
        ({"code": 502}, "passing"),
        ("unknown parameter: seed", "request"),
    ],
)
def test_whose_fault_an_error_in_a_200_is(error, fault):
    assert of_error_in_200(words_of(json.dumps({"error": error}).encode())).fault == fault


def test_a_troubles_detail_holds_none_of_the_endpoints_sentences():
    words = words_of(
        b'{"error": {"message": "You asked: a secret rubric", "code": "a secret rubric", "type": "bad_request"}}'
    )
    trouble = of_status(400, {}, words)
    assert trouble.detail == "400 bad_request" and "a secret rubric" in trouble.said


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("1.5", 1.5), ("", 0), ("soon", 0), ("-3", 0), ("inf", 0), ("²", 0)]
)
def test_retry_after_is_a_number_or_nothing(value, seconds):
    assert of_status(429, {"retry-after": value}, Words()).retry_after_s == seconds
