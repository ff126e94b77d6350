"""A run's certificate, of all its rows or of those that an export keeps. PURE."""

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from concord.certificate.certificate import Certificate, assumed, certified
from concord.certificate.evidence import evidence_of, within
from concord.report.history import Array, History, Read
from concord.v1.pairs_pb2 import Choice, PairShard


def certificate(history: History, read: Read) -> Certificate | None:
    """How wrong the run's labels are; None where people answered nothing, or too little to learn from.

    What nobody's answers stand behind is an assumption, and no certificate.
    """
    if not history.rounds or not (len(history.taken) or any(answer.given for answer in history.answers)):
        return None
    last = _last_round(history, read)
    found = evidence_of(last, history.said)
    made = certified(found, _sha256(history), _sources(history, last), _kinds(history, read)) if found else None
    return made or _as_told(history)


def of_export(history: History, read: Read, kept: Sequence[int], rows_sha256: str) -> Certificate | None:
    """The same of an export: `kept` are the pair indexes of its rows, in any order.

    A row that people called a tie is in no export; but it was drawn from those whose labels are, and tells of them.
    """
    last = _last_round(history, read) if history.rounds else {}
    found = evidence_of(last, history.said)
    if found is None:
        return None
    inside = np.zeros(history.pairs, dtype=bool)
    inside[list(kept)] = True
    said = history.said
    ties = said.pair[said.p_first == 0.5]
    would_be = inside.copy()
    would_be[ties] |= last["label_without"][ties] != 0
    found = replace(found, left_out=~inside[found.pair])
    source, kind = _sources(history, last), _kinds(history, read)
    return certified(within(found, would_be), rows_sha256, source[would_be], None if kind is None else kind[would_be])


def of_file(history: History, read: Read, rows_sha256: str) -> Certificate | None:
    """The same of the judge's labels as they are, people's answers beside them: of a file whose labels are the verdicts."""
    found = evidence_of(_last_round(history, read), history.said) if history.rounds else None
    if found is None:
        return None
    found = replace(found, replaced=np.zeros(len(found.pair), bool))
    return certified(found, rows_sha256, kind=_kinds(history, read))


def _last_round(history: History, read: Read) -> dict[str, Array]:
    with np.load(io.BytesIO(read(history.rounds[-1][1].posterior_uri)), allow_pickle=False) as arrays:
        return dict(arrays)


def _sources(history: History, last: dict[str, Array]) -> Array:
    """What each label comes from, str [pairs]; of a pair that people answered: without their answer."""
    side = np.where(history.given == Choice.CHOICE_FIRST, 1, 0)
    side = np.where(history.given == Choice.CHOICE_SECOND, -1, side)
    label = last["label_without"]
    decided = [index for index, (note, _) in history.checks.items() if note.decided]
    theirs = np.where(np.isin(np.arange(history.pairs), decided), "checked", "judge")
    source = np.where(label == 0, "none", np.where(label == side, theirs, "flipped"))
    if history.rows is not None:
        is_open = history.rows.source != "people"
        source[history.rows.index[is_open]] = history.rows.source[is_open]
    return source


def _kinds(history: History, read: Read) -> Array | None:
    """What each pair is about, str [pairs], as the input names it; None where it names nothing."""
    names = [pair.domain for ref in history.shards for pair in PairShard.FromString(read(ref.uri)).pairs]
    return np.array(names, str) if any(names) else None


def _as_told(history: History) -> Certificate | None:
    """What the last round said itself, in runs and methods that tell no label from its own answer."""
    said, people = history.rounds[-1][1], history.settled
    unasked = 1 - people / history.pairs
    audits = sum(answer.uniform and answer.given for answer in history.answers)
    if said.HasField("audited_error"):
        ends = unasked * said.audited_error_low, unasked * said.audited_error_high
        told = assumed(unasked * said.audited_error, history.pairs, people, _sha256(history), audits)
        return replace(told, low=ends[0], high=ends[1], method="audit")
    if not said.trust:
        return None
    return assumed(unasked * said.expected_error, history.pairs, people, _sha256(history), audits)


def _sha256(history: History) -> str:
    return history.finished.dataset_sha256 if history.finished else ""
