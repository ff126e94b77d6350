"""What an endpoint says instead of a completion, and whose fault that is. PURE.

A refusal's own words may quote the question, which no log line and no error may repeat: `Trouble.detail` holds none of them,
`Trouble.said` all.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from concord.kit.redaction import redacted

# Whose fault a failed try is: it may pass; too many requests; this request's; the endpoint's.
Fault = Literal["passing", "limit", "request", "endpoint"]

# Fields of a request that an endpoint may not know; the rest of a request cannot be left out.
OPTIONAL = (
    "response_format",
    "top_logprobs",
    "logprobs",
    "seed",
    "temperature",
    "max_completion_tokens",
    "max_tokens",
)

# Characters of an endpoint's words that are looked at.
_MOST_WORDS = 20_000
# What no waiting mends, as services call it.
_LASTING = frozenset(
    (
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "account_deactivated",
        "account_suspended",
        "invalid_api_key",
        "invalid_authentication",
        "authentication_error",
        "permission_denied",
        "permission_error",
        "model_not_found",
        "not_found_error",
        "payment_required",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_funds",
        "credits_exhausted",
        "no_credits",
        "access_terminated",
        "organization_restricted",
    )
)
_NO_MONEY = re.compile(
    r"insufficient[ _](?:quota|balance|credit|fund)|(?:no|out of|not enough|run out of|used all|exhausted)\b[^.]{0,40}\bcredit"
    r"|credit[^.]{0,30}\b(?:exhausted|used up|too low|left)|balance[^.]{0,30}\b(?:too low|insufficient|empty)"
    r"|payment required|top up your|account[^.]{0,30}\b(?:suspended|deactivated|disabled|in arrears)",
    re.IGNORECASE,
)
_SOON = re.compile(r"(?:try|retry)[^.]{0,20}\bin\s+\d|per (?:second|minute|hour|day)|rate.?limit", re.IGNORECASE)
_PASSING_WORDS = re.compile(
    r"overload|temporar|unavailable|time[d -]?out|try again|busy|capacity|internal|upstream|loading|starting",
    re.IGNORECASE,
)
_LIMIT_WORDS = re.compile(r"rate.?limit|too many requests|slow.?down|throttl", re.IGNORECASE)
_FILTER_WORDS = re.compile(
    r"content.?(?:filter|policy|management)|moderation|safety|prompt.?injection|flagged", re.IGNORECASE
)
# What an error's code or type may be to be repeated: a name, no sentence.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,59}")


@dataclass(frozen=True)
class Words:
    """What an error's body says."""

    message: str = ""  # redacted
    code: str = ""  # of error.code or error.type, where that is a name
    status: int = 0  # of an error within an answer that says 200
    fields: tuple[str, ...] = ()  # that `param` or `loc` point at, as they are called in a request

    @property
    def filtered(self) -> bool:
        """Whether a content filter spoke."""
        return bool(_FILTER_WORDS.search(self.code) or _FILTER_WORDS.search(self.message))


class Trouble(Exception):
    """A try that gave no completion, and whose fault that is."""

    def __init__(
        self,
        fault: Fault,
        detail: str,
        retry_after_s: float = 0,
        paid: bool = False,
        status: int = 0,
        words: Words | None = None,
        slow: bool = False,
    ) -> None:
        super().__init__(detail)
        self.fault, self.detail, self.retry_after_s, self.status = fault, detail, retry_after_s, status
        self.paid = paid  # an answer came, but not a usable one
        self.slow = slow  # nothing came in time
        self.words = words or Words()

    def __str__(self) -> str:
        return self.detail

    @property
    def said(self) -> str:
        """The endpoint's own words where it said any, without secrets: for who may see the question, not for logs."""
        return self.words.message or self.detail


def words_of(body: bytes, secrets: Collection[str] = ()) -> Words:
    """What an error's body says, in whatever form services give it. Never raises."""
    text = body[:_MOST_WORDS].decode(errors="replace")
    try:
        whole = json.loads(body[: 8 * _MOST_WORDS])
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, list) and whole:
        whole = whole[0]
    if not isinstance(whole, dict):
        return Words(_plain(text, secrets))
    error = whole.get("error") or whole.get("detail") or whole.get("errors") or whole.get("message") or whole
    first = error[0] if isinstance(error, list) and error else error
    fields = tuple(field for one in (error if isinstance(error, list) else [error]) for field in _pointed(one))
    if not isinstance(first, dict):
        return Words(_plain(first if isinstance(first, str) else text, secrets), fields=fields)
    message = first.get("message") or first.get("msg") or first.get("detail") or whole.get("message")
    codes = [_name(first.get("code")), _name(first.get("type")), _name(first.get("status")), _name(whole.get("code"))]
    known = [code for code in codes if code.lower() in _LASTING]
    status = next(filter(None, map(_status, (first.get("code"), first.get("status"), whole.get("code")))), 0)
    within = first.get("metadata")  # of a router: what the service behind it said
    raw = within.get("raw") if isinstance(within, dict) else None
    said = _plain(" ".join(part for part in (message, raw) if isinstance(part, str)) or text, secrets)
    return Words(said, redacted(next(iter(known), "") or next(filter(None, codes), ""), secrets), status, fields)


def of_status(status: int, headers: Mapping[str, str], words: Words) -> Trouble:
    """The trouble that an answer with this status means."""
    detail = f"{status}{' ' + words.code if words.code else ''}"
    wait_s = retry_after_s(headers)
    lasting = words.code.lower() in _LASTING or (
        bool(_NO_MONEY.search(words.message)) and not wait_s and not _SOON.search(words.message)
    )
    fault: Fault = "request"
    if lasting and status != 400:
        fault = "endpoint"
    elif status in (401, 402, 403, 404, 405, 407, 410, 501):
        # Some refuse a field so: the model may not be asked for log-probabilities.
        fault = "request" if words.fields else "endpoint"
    elif status == 429:
        fault = "limit"
    elif status in (408, 409, 425) or status >= 500:
        fault = "passing"
    return Trouble(fault, detail, wait_s, status=status, words=words)


def of_error_in_200(words: Words) -> Trouble:
    """The trouble of an answer that says 200 and holds an error."""
    if words.status:
        trouble = of_status(words.status, {}, words)
    elif words.code.lower() in _LASTING or _NO_MONEY.search(words.message):
        trouble = Trouble("endpoint", words.code, words=words)
    elif _LIMIT_WORDS.search(f"{words.code} {words.message}"):
        trouble = Trouble("limit", words.code, words=words)
    elif _PASSING_WORDS.search(f"{words.code} {words.message}"):
        trouble = Trouble("passing", words.code, words=words)
    else:
        trouble = Trouble("request", words.code, words=words)
    trouble.detail = f"an error in a 200{': ' + trouble.detail if trouble.detail else ''}"
    return trouble


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that Retry-After asks for, as a number or as a date against the answer's own Date; 0 without one."""
    value = headers.get("retry-after", "").strip()[:60]
    try:
        if value.replace(".", "", 1).isdecimal():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0.0


def _pointed(error: Any) -> list[str]:
    """The request's optional fields that `param` or `loc` of one error point at."""
    if not isinstance(error, dict):
        return []
    param, loc = error.get("param"), error.get("loc")
    steps = re.split(r"[.\[\]/]+", param[:200]) if isinstance(param, str) else []
    steps += [step for step in loc[:20] if isinstance(step, str)] if isinstance(loc, list) else []
    return [step for step in steps if step in OPTIONAL][:1]


def _plain(text: str, secrets: Collection[str]) -> str:
    """In one line, secrets struck out before anything is cut."""
    return " ".join(redacted(text[:_MOST_WORDS], secrets).split())[:4000]


def _name(value: Any) -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def _status(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599 else 0
