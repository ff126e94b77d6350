"""Small worlds for the tests of the certificate: labels wrong by chance, people who answer, everything known."""

import numpy as np

from concord.certificate.evidence import Evidence


def asked(rows: int, audits: int, rate: float, seed: int = 0, people: float = 0.0, again: int = 0, **known) -> Evidence:
    """`rows` labels, wrong at `rate`; so many drawn uniformly and answered by people who err; `again` of them twice."""
    generator = np.random.default_rng(seed)
    wrong = generator.random(rows) < rate
    pair = generator.choice(rows, audits, replace=False)
    votes = wrong[pair] ^ (generator.random((2, audits)) < people)
    twice = np.arange(audits) < again
    made = dict(
        p_error=np.full(rows, np.nan),
        pair=pair,
        round=np.zeros(audits, np.int64),
        audit=np.ones(audits, bool),
        error=np.where(twice, votes.mean(axis=0), votes[0]),
        split=np.where(twice, votes[0] != votes[1], np.nan),
        replaced=np.ones(audits, bool),
        votes=np.ones(audits, np.int64),
        left_out=np.zeros(audits, bool),
    )
    made |= known
    # Where more or fewer are answered than were drawn, the rest of the columns say the usual.
    usual = {"split": np.nan, "replaced": True, "votes": 1, "left_out": False, "round": 0, "audit": True}
    for name, value in usual.items():
        if len(made[name]) != len(made["pair"]):
            made[name] = np.full(len(made["pair"]), value)
    return Evidence(**made)
