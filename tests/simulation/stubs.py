"""Units of work that cost nothing: functions of their inputs and the configuration alone.

Each reads everything that its work item names through the manifests, and mixes all of it into its result, so that one
wrong, missing or doubled input changes the dataset's hash.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b, sha256

from concord.kit import usage
from concord.kit.blobs import Blobs
from concord.labeling import checking
from concord.preference import checked, evaluating, further, shards
from concord.v1.events_pb2 import Event, PairsSelected, PolicyJudged, ShardLabeled, Stage, StageManifest, Usage
from concord.v1.pairs_pb2 import Choice, Pair, PairShard, PairsManifest
from concord.v1.work_pb2 import Work

# Of one call; the workloads' prices make it a cent: 180 · $50 and 10 · $100 a million.
PROMPT_TOKENS, COMPLETION_TOKENS, DOLLARS = 180, 10, 0.01


def digest(*parts: object) -> bytes:
    """Eight bytes that depend on every part and on their order."""
    return blake2b(repr(parts).encode(), digest_size=8).digest()


def share(*parts: object) -> float:
    """A number in [0, 1) that depends on every part; a multiple of 2⁻¹⁶, so exact as a float32."""
    return int.from_bytes(digest(*parts)[:2]) / 65536


@lru_cache(1 << 16)
def answer(seed: int, pair_index: int, vote: int) -> Choice.ValueType | None:
    """What a person says of this pair with this vote, whoever it is; None: cannot say."""
    drawn = share("person", seed, pair_index, vote)
    if drawn < 0.04:
        return None
    right = Choice.CHOICE_FIRST if share("truth", seed, pair_index) < 0.5 else Choice.CHOICE_SECOND
    if drawn < 0.12:
        return Choice.CHOICE_TIE
    return right if drawn < 0.9 else Choice.CHOICE_FIRST + Choice.CHOICE_SECOND - right


def _paid(calls: int) -> Usage:
    return Usage(
        calls=calls,
        prompt_tokens=calls * PROMPT_TOKENS,
        completion_tokens=calls * COMPLETION_TOKENS,
        dollars=calls * DOLLARS,
    )


def do(work: Work, blobs: Blobs) -> Event:
    """The unit's fact, without its names."""
    return UNITS[work.WhichOneof("task")](work, blobs)


def _manifest(blobs: Blobs, uri: str) -> StageManifest:
    """A closed stage's facts, as they stand there: that none is missing or doubled is for the checks to find."""
    return StageManifest.FromString(blobs.get(uri))


def _pairs(blobs: Blobs, uris: Sequence[str]) -> list[tuple[int, Pair]]:
    read = [_shard(uri, blobs.get(uri)) for uri in uris]
    return [(first + at, pair) for first, pairs in read for at, pair in enumerate(pairs)]


@lru_cache(maxsize=500)
def _shard(uri: str, content: bytes) -> tuple[int, tuple[Pair, ...]]:
    """Read once in a process: seeds share their workloads, and nobody writes on a pair."""
    shard = PairShard.FromString(content)
    return shard.first_index, tuple(shard.pairs)


@lru_cache(maxsize=500)
def _tried(uris: tuple[str, ...], wanted: frozenset[int], contents: tuple[bytes, ...]) -> tuple[list, list, list]:
    """(the pairs, what checks said of them, those that are left to the judge)."""
    read = [_shard(uri, content) for uri, content in zip(uris, contents, strict=True)]
    every = [(first + at, pair) for first, pairs in read for at, pair in enumerate(pairs)]
    given = [(at, pair) for at, pair in every if not wanted or at in wanted]
    tried = checking.tried(given)
    return given, tried, checking.judged(given, tried)


def _label_shard(work: Work, blobs: Blobs) -> Event:
    uris = tuple(work.label_shard.shard_uris)
    given, tried, pairs = _tried(uris, frozenset(work.label_shard.pair_indexes), tuple(map(blobs.get, uris)))
    event = Event(usage=_paid(len(pairs)))
    labeled = event.shard_labeled
    for at, pair in pairs:
        truth = share("truth", work.config.seed, at) < 0.5
        sure = share("judge", work.config.seed, pair.pair_id, pair.first.text)
        labeled.pair_index.append(at)
        labeled.p_first.append(sure if truth == (sure > 0.2) else 1 - sure)
        labeled.choice.append(Choice.CHOICE_FIRST if labeled.p_first[-1] >= 0.5 else Choice.CHOICE_SECOND)
    if work.config.rubric and work.unit.stage == Stage.STAGE_LABEL:
        _score(work, [pair for _, pair in pairs], event)
    labeled.CopyFrom(checking.with_checks(labeled, given, tried))
    return event


def _score(work: Work, pairs: Sequence[Pair], event: Event) -> None:
    """Scores of the doubtful third, at the price of the calls that they are."""
    labeled = event.shard_labeled
    chosen = further.doubtful(
        [True] * len(pairs),
        [-1] * len(pairs),
        [max(p, 1 - p) for p in labeled.p_first],
        [pair.pair_id for pair in pairs],
        work.config.seed,
    )
    for column, side in ((labeled.rubric_first, "first"), (labeled.rubric_second, "second")):
        scores = [1 + 9 * share("score", work.config.seed, pair.pair_id, side) for pair in pairs]
        column.extend(score if at in chosen else 0.0 for at, score in enumerate(scores))
    usage.add(event.usage, _paid(2 * len(chosen)))


def _fit_features(work: Work, blobs: Blobs) -> Event:
    refs = PairsManifest.FromString(blobs.get(work.pairs_uri)).shards
    ids = [pair.pair_id for _, pair in _pairs(blobs, [ref.uri for ref in refs])]
    return Event(features_fitted={"basis_uri": blobs.put(digest("basis", work.config.seed, ids)), "texts": len(ids)})


def _featurise_shard(work: Work, blobs: Blobs) -> Event:
    task = work.featurise_shard
    pairs = _pairs(blobs, [task.shard_uri])
    features = digest("features", blobs.get(task.basis_uri), [(at, pair.pair_id) for at, pair in pairs])
    return Event(shard_featurised={"features_uri": blobs.put(features), "pairs": len(pairs)})


def _embed_shard(work: Work, blobs: Blobs) -> Event:
    task = work.embed_shard
    pairs = _pairs(blobs, [task.shard_uri])
    embeddings = digest("embeddings", blobs.get(task.basis_uri), [(at, pair.pair_id) for at, pair in pairs])
    return Event(shard_embedded={"embeddings_uri": blobs.put(embeddings), "pairs": len(pairs)})


def _select_pairs(work: Work, blobs: Blobs) -> Event:
    """About two of three pairs, numbered anew; which ones depends on every embedding."""
    manifest = _manifest(blobs, work.select_pairs.embeddings_uri)
    seen = [blobs.get(event.shard_embedded.embeddings_uri) for event in manifest.events]
    given = _pairs(blobs, [shard.uri for shard in PairsManifest.FromString(blobs.get(work.pairs_uri)).shards])
    kept = [pair for at, pair in given if share("kept", seen, at) < 0.67]
    size = work.config.shard_pairs
    refs = [shards.put_shard(at, kept[at : at + size], blobs.put) for at in range(0, len(kept), size)]
    said = PairsSelected(pairs_uri=shards.put_manifest(refs, len(kept), blobs.put), pairs=len(kept), shards=refs)
    said.left_out.add(why="drawn", pairs=len(given) - len(kept))
    return Event(pairs_selected=said)


def _generate_shard(work: Work, blobs: Blobs) -> Event:
    """One or two pairs of each prompt, at the price of as many calls as it has answers."""
    prompts = [pair for _, pair in _pairs(blobs, [work.generate_shard.shard_uri])]
    made: list[Pair] = []
    for prompt in prompts:
        for place in range(1, 2 + (share("answers", work.config.seed, prompt.pair_id) < 0.3)):
            pair = Pair(
                pair_id=f"{prompt.pair_id}/0-{place}",
                first_place=1,
                second_place=place + 1,
                group=prompt.group,
                harmful=prompt.harmful,
            )
            pair.first.CopyFrom(prompt.first)
            pair.second.CopyFrom(prompt.second)
            made.append(pair)
    calls = len(prompts) + len(made)
    event = Event(usage=_paid(calls))
    event.shard_generated.shard.CopyFrom(shards.put_shard(0, made, blobs.put))
    event.shard_generated.shard_uri = event.shard_generated.shard.uri
    event.shard_generated.prompts, event.shard_generated.answers = len(prompts), calls
    return event


def _teach_shard(work: Work, blobs: Blobs) -> Event:
    """What the judge says again of the shard's pairs whose number is even, and what that costs."""
    task = work.teach_shard
    believed = json.loads(blobs.get(task.posterior_uri)) if task.posterior_uri else []
    seen = _labels(blobs, task.labels_uri), _features(blobs, task.features_uri), believed
    base = digest("taught", seen, sorted(_judged(blobs, task.annotation_uris).items()))
    mine = [at for at, _ in _pairs(blobs, [task.shard_uri]) if at % 2 == 0]
    taught = {"pair_index": mine, "against": [share(base, at) for at in mine], "examples": [0] * len(mine)}
    return Event(shard_taught=taught, usage=_paid(len(mine)))


def _features(blobs: Blobs, uri: str) -> list[bytes]:
    return [blobs.get(event.shard_featurised.features_uri) for event in _manifest(blobs, uri).events]


def _labels(blobs: Blobs, uri: str) -> list[tuple[float, ...]]:
    columns = [event.shard_labeled for event in _manifest(blobs, uri).events]
    return [row for column in columns for row in zip(column.pair_index, column.p_first, *_scored(column), strict=True)]


def _scored(column: ShardLabeled) -> tuple[Sequence[float], ...]:
    """Scores of each answer alone, where some were asked for."""
    return (column.rubric_first, column.rubric_second) if column.rubric_first else ()


def _judged(blobs: Blobs, uris: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Pair → (outcome, choice)."""
    found: dict[int, tuple[int, int]] = {}
    for uri in uris:
        for event in _manifest(blobs, uri).events:
            found[event.task_resolved.pair_index] = event.task_resolved.outcome, event.task_resolved.choice
    return found


def _train_fold(work: Work, blobs: Blobs) -> Event:
    task = work.train_fold
    labels = _labels(blobs, task.labels_uri)
    model = digest("fold", task.fold, labels, _features(blobs, task.features_uri))
    return Event(fold_trained={"fold": task.fold, "model_uri": blobs.put(model), "pairs": len(labels)})


def _score_shard(work: Work, blobs: Blobs) -> Event:
    task = work.score_shard
    mine = _manifest(blobs, task.features_uri).events[work.unit.number].shard_featurised
    models = [blobs.get(event.fold_trained.model_uri) for event in _manifest(blobs, task.models_uri).events]
    seen = blobs.get(mine.features_uri), models
    margins = [share("margin", at, seen) - 0.5 for at in range(mine.pairs)]
    return Event(shard_scored={"first_index": task.first_index, "margin": margins})


def _triage_round(work: Work, blobs: Blobs) -> Event:
    task = work.triage_round
    labels = _labels(blobs, task.labels_uri)
    seen: list[object] = [labels]
    if task.scores_uri:
        scored = [event.shard_scored for event in _manifest(blobs, task.scores_uri).events]
        seen += [_features(blobs, task.features_uri), [(s.first_index, list(s.margin)) for s in scored]]
    if task.taught_uri:
        taught = [event.shard_taught for event in _manifest(blobs, task.taught_uri).events]
        seen.append([(list(one.pair_index), list(one.against)) for one in taught])
    judged = _judged(blobs, task.annotation_uris)
    base = digest("triage", work.unit.round, seen, sorted(judged.items()))
    doubt = sorted((share("doubt", base, at), at) for at, *_ in labels if at not in judged)
    asked = [at for _, at in doubt[: task.ask]]
    stops = work.config.target_error and task.ask and share("enough", base) < work.config.target_error
    posterior = blobs.put(json.dumps([round((p + share(base, at)) / 2, 4) for at, p, *_ in labels]).encode())
    if stops:
        asked = []
    triaged = {
        "asked": asked,
        "p_ask": [0.5] * len(asked),
        "enough": "enough" if stops else "",
        "posterior_uri": posterior,
        "trust": min(2, len(judged)),
    }
    return Event(round_triaged={**triaged, "expected_error": share("error", base)})


def _train_final(work: Work, blobs: Blobs) -> Event:
    task = work.train_final
    posterior = blobs.get(task.posterior_uri) if task.posterior_uri else b""
    judged = sorted(_judged(blobs, task.annotation_uris).items())
    seen = _labels(blobs, task.labels_uri), _features(blobs, task.features_uri), posterior, judged, task.trust
    return Event(final_trained={"model_uri": blobs.put(digest("final", seen))})


def _build_dataset(work: Work, blobs: Blobs) -> Event:
    task = work.build_dataset
    labels, judged = _labels(blobs, task.labels_uri), _judged(blobs, task.annotation_uris)
    believed = json.loads(blobs.get(task.posterior_uri)) if task.posterior_uri else [label[1] for label in labels]
    given = _pairs(blobs, [shard.uri for shard in PairsManifest.FromString(blobs.get(work.pairs_uri)).shards])
    marked = {at for at, pair in given if pair.harmful}
    rows = [
        json.dumps([at, *judged.get(at, (0, 0)), f"{p:.4f}", f"{task.expected_error:.4f}", at in marked])
        for (at, *_), p in zip(labels, believed, strict=True)
    ]
    content = "\n".join(rows).encode()
    built = {"dataset_uri": blobs.put(content), "dataset_sha256": sha256(content).hexdigest(), "rows": len(rows)}
    return Event(dataset_built={**built, "from_people": len(judged)})


def _train_policy(work: Work, blobs: Blobs) -> Event:
    """Where it is to be compared, two shards of answers of its last step, one of a step before, and a step that changed no word."""
    base = digest("policy", blobs.get(work.train_policy.dataset_uri))
    event = Event(policy_trained={"model_uri": blobs.put(base)})
    if evaluating.is_asked(work.config):
        said, each = event.policy_trained.answered, -(-work.config.evaluate // 2)
        said.add(step=1, alike=work.config.evaluate)
        for step, kept, place in ((2, False, 0), (4, True, 0), (4, True, 1)):
            pairs = [_answered(base, step, at) for at in range(place * each, (place + 1) * each)]
            said.add(step=step, kept=kept, shard=shards.put_shard(0, pairs, blobs.put))
    return event


def _answered(base: bytes, step: int, at: int) -> Pair:
    """What the policy and its start answered to one prompt, whoever stands first."""
    pair = Pair(pair_id=f"{step}/{at}")
    sides = [(evaluating.POLICY, f"p{base.hex()}{step}/{at}"), (evaluating.START, f"s{at}")]
    (pair.first.model, pair.first.text), (pair.second.model, pair.second.text) = sides[:: 1 - 2 * (at % 2)]
    return pair


def _score_policy(work: Work, blobs: Blobs) -> Event:
    task = work.score_policy
    pairs = [pair for _, pair in _pairs(blobs, [task.shard_uri])]
    seen = blobs.get(task.basis_uri), blobs.get(task.model_uri)
    margins = [share("rewarded", seen, pair.pair_id, pair.first.text, pair.second.text) - 0.5 for pair in pairs]
    preferred = sum((margin > 0) == (at % 2 == 0) for at, margin in enumerate(margins))
    return Event(policy_scored={"margin": margins, "step": task.step, "kept": task.kept, "preferred": preferred})


def _judge_policy(work: Work, blobs: Blobs) -> Event:
    """At the price of a call in each order."""
    task = work.judge_policy
    pairs = _pairs(blobs, [task.shard_uri])
    event = Event(usage=_paid(2 * len(pairs)))
    labels = event.policy_judged.labels
    for at, pair in pairs:
        labels.pair_index.append(at)
        labels.p_first.append(share("compared", work.config.seed, pair.first.text, pair.second.text))
        labels.choice.append(Choice.CHOICE_FIRST if labels.p_first[-1] >= 0.5 else Choice.CHOICE_SECOND)
        labels.order_flipped.append(0)
    wins, losses = evaluating.score([pair.first.model for _, pair in pairs], labels)
    event.policy_judged.MergeFrom(PolicyJudged(step=task.step, kept=task.kept, wins=wins, losses=losses))
    return event


def lie(event: Event) -> None:
    """Every verdict is turned round."""
    labeled = event.shard_labeled
    for at in checked.judged(labeled):
        labeled.p_first[at] = 1 - labeled.p_first[at]
        labeled.choice[at] = Choice.CHOICE_FIRST if labeled.p_first[at] >= 0.5 else Choice.CHOICE_SECOND


def ramble(event: Event) -> None:
    """No verdict can be read: what labeling says then."""
    labeled = event.shard_labeled
    for at in checked.judged(labeled):
        labeled.p_first[at], labeled.choice[at] = 0.5, Choice.CHOICE_UNSPECIFIED


UNITS = {
    "label_shard": _label_shard,
    "fit_features": _fit_features,
    "featurise_shard": _featurise_shard,
    "generate_shard": _generate_shard,
    "embed_shard": _embed_shard,
    "select_pairs": _select_pairs,
    "teach_shard": _teach_shard,
    "score_shard": _score_shard,
    "triage_round": _triage_round,
    "build_dataset": _build_dataset,
    "train_fold": _train_fold,
    "train_final": _train_final,
    "train_policy": _train_policy,
    "score_policy": _score_policy,
    "judge_policy": _judge_policy,
}
