"""Rows that people bring and of which no pair can be made: told by name what they are, and what to do. PURE."""

from collections.abc import Iterable, Mapping

from concord.client.intake.formats.fields import guess, listed
from concord.client.intake.formats.record import Decoded
from concord.preference.pairs import BadRecord

_MEDIA = ("image", "images", "video", "videos", "audio", "audios")
_THUMBS = ("label", "kto_tag", "desirable", "thumbs_up", "is_good")
_ANSWERS = ("completion", "response", "output", "answer", "generation")
_SIDES = ("chosen", "rejected")
BY_HAND = "say which column is which: --columns prompt=…,first=…,second=…,winner=… (or chosen=…,rejected=…)"


def check_media(row: Decoded) -> None:
    """Raises BadRecord where an image, a sound or a film belongs to the row: a text alone would be another question."""
    held = next((name for name in _MEDIA if name in row and row.get(name) not in (None, "", [], {})), None)
    if held:
        raise BadRecord("not a text", f"the column {held!r} holds what is no text: Concord compares texts alone")


def refusal(row: Decoded, forms: Iterable[tuple[str, Iterable[str]]]) -> BadRecord:
    """Why a row of no known form cannot be read; `forms`: name and usual columns of the forms there are."""
    if said := _unpaired(row):
        return BadRecord("no pairs", f"{said}; its columns: {listed(row)}")
    if half := [side for side in _SIDES if row.get(side) is not None]:
        lacking = next(iter(set(_SIDES) - set(half)), "prompt")
        return BadRecord(
            "missing response", f"no `{lacking}` beside `{half[0]}`; its columns: {listed(row)}; or {BY_HAND}"
        )
    near = _nearest(row, forms)
    how = f"perhaps --columns {said}" if (said := guess(row)) else BY_HAND
    looks = (
        f"it looks most like {near[0]}, which also has {listed(near[1])}" if near else "it looks like no form we know"
    )
    return BadRecord(
        "missing response",
        f"neither `chosen` and `rejected` nor `responses`; its columns: {listed(row)}; {looks}; {how}",
    )


def _unpaired(row: Decoded) -> str:
    """What an unpaired row is; "" for one that may be a pair in a form we do not know."""
    if "pair_id" in row and "choice" in row:
        return "these are people's answers to a run's questions, not pairs: give the file with --annotators file:PATH"
    answer = next((name for name in _ANSWERS if isinstance(row.get(name), str | list | Mapping)), "")
    talk = next((name for name in ("messages", "conversations") if isinstance(row.get(name), list)), "")
    if _is_stepwise(row):
        return (
            "these are steps of one answer with a label each (PRM, process supervision): no two answers are compared; "
            "bring two whole answers to a prompt"
        )
    if (answer or talk) and any(row.get(name) is not None for name in _THUMBS):
        return (
            "this is one answer with a label, good or bad (KTO, unpaired preferences): no two answers are compared; "
            "put a good and a bad answer to the same prompt into one row, as chosen and rejected"
        )
    if answer and len([name for name in row if name in _ANSWERS]) == 1 and not _others(row, answer):
        return (
            "this is one answer to a prompt (for fine-tuning): a pair needs two; add the answer of another model, as "
            "`responses`"
        )
    if talk and not _others(row, talk):
        return "this is one chat (for fine-tuning): a pair needs two answers; bring them as chosen and rejected"
    return ""


def _is_stepwise(row: Decoded) -> bool:
    steps = any(isinstance(row.get(name), list) for name in ("completions", "steps", "reasoning_steps"))
    graded = any(isinstance(row.get(name), list) for name in ("labels", "ratings", "step_labels", "rewards"))
    label = row.get("label")
    return (steps and graded) or (isinstance(label, Mapping) and isinstance(label.get("steps"), list))


def _others(row: Decoded, answer: str) -> list[str]:
    """Other columns that may be a second answer: longer texts under names that are no prompt's."""
    known = (
        "prompt",
        "instruction",
        "input",
        "system",
        "question",
        "messages",
        "conversations",
        "id",
        "source",
        answer,
    )
    return [name for name in row if name not in known and isinstance(row.get(name), str)]


def _nearest(row: Decoded, forms: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, list[str]] | None:
    """The form of which the row has most columns, at least half of them, and those that it lacks."""
    best: tuple[float, str, list[str]] = (0.0, "", [])
    for name, columns in forms:
        wanted = list(columns)
        lacking = [column for column in wanted if column not in row]
        share = 1 - len(lacking) / len(wanted) if wanted else 0.0
        if share > best[0] and lacking:
            best = (share, name, lacking)
    return (best[1], best[2]) if best[0] >= 0.5 else None
