"""The bounds of every field of every request, in one table: the server checks them before any servicer sees the call. Pure.

They are wider than anyone needs, and small enough that no call can bring a service down or leave in the log what no reader
can take. What else a request must be (a UUID, a method that there is) its servicer says. tests/test_requests.py walks the
contract: a field without an entry fails there. The numbers and texts of a run's configuration are those of `run_settings`.
"""

from google.protobuf.message import Message

from concord.kit import bounds
from concord.kit.bounds import Any64, Bound, Inner, Known, Many, Number, Text
from concord.preference.references import MOST_ANSWER, MOST_ANSWERS, MOST_CHOICES, MOST_CONSTRAINTS, MOST_SCHEMA
from concord.preference.run_settings import MOST_LISTED, longest, recorded_bounds
from concord.v1.config_pb2 import JudgeConfig, Rlthf, RunConfig

PACKAGE = "concord.v1"
MOST_PAIRS = 100_000_000
MOST_VOTES = 10_000_000
# Lists of blobs that work items name: one for each stage of people, or each shard of a unit.
MOST_URIS = 100_000
# A pair that is too large by itself is refused by its name: this only keeps out what is no text of a pair at all.
MOST_TEXT = 4_000_000

RUN_ID, REQUEST_ID, TASK_ID, URI = Text(100), Text(300), Text(100), Text(100)
NAME, URL, HASH, WORDS = Text(300), Text(2_000), Text(300), Text(2_000)
# Whatever a file calls a domain, a model or a judge.
LABEL = Text(20_000)
INDEX, SHARE, UINT = Number(0, MOST_PAIRS), Number(0, 1), Number(0, 1_000_000)
SKILLS = Many(16, Text(200))
ANY, INNER, URIS = Any64(), Inner(), Many(MOST_URIS, URI)
RUN: dict[str, Bound] = {"run_id": RUN_ID}
COMMAND: dict[str, Bound] = {"run_id": RUN_ID, "request_id": REQUEST_ID}


def _settings(kind: type[Message], message: str) -> dict[str, Bound]:
    """The fields that a run's settings fill, by the table of settings."""
    texts: dict[str, Bound] = {name: Text(most) for name, most in longest(message).items()}
    numbers: dict[str, Bound] = {name: Number(*span) for name, span in recorded_bounds(message).items()}
    out = texts | numbers
    for field in kind.DESCRIPTOR.fields:
        if field.type == field.TYPE_BOOL:
            out[field.name] = ANY
        elif field.is_repeated and field.name in out:
            out[field.name] = Many(MOST_LISTED, out[field.name])
    return out


REQUESTS: dict[str, dict[str, Bound]] = {
    "CreateRunRequest": {
        **RUN,
        "config": INNER,
        "input_sha256": HASH,
        "input_name": URL,
        "side_of": RUN_ID,
    },
    "SubmitPairsRequest": {**COMMAND, "pairs": Many(5_000, INNER), "first_index": INDEX},
    "StartRunRequest": COMMAND,
    "PauseRunRequest": {**COMMAND, "detail": WORDS},
    "ResumeRunRequest": COMMAND,
    "SetBudgetRequest": {
        **COMMAND,
        "human_budget": Number(0, MOST_VOTES),
        "dollar_budget": Number(*recorded_bounds("")["dollar_budget"]),
    },
    "RetryStageRequest": COMMAND,
    "CancelRunRequest": {**COMMAND, "reason": WORDS},
    "RevokeAccessRequest": {**COMMAND, "name": NAME, "reason": WORDS},
    "GetRunRequest": RUN,
    "FindCancelledRequest": {"run_ids": Many(1_000, RUN_ID), "worker": RUN_ID, "paces": Many(100, INNER)},
    "ListRunsRequest": {"page_size": ANY, "page_token": Text(20)},
    "WatchRunRequest": RUN,
    "ListDeadLettersRequest": RUN,
    "RequeueDeadLettersRequest": {**COMMAND, "reason": WORDS},
    "ReadDatasetRequest": RUN,
    "ReadFactsRequest": RUN,
    "ReadBlobRequest": {"uri": URI},
    "NextTaskRequest": {"annotator": NAME, **RUN},
    "NextTasksRequest": {"annotator": NAME, **RUN, "most": UINT, "task_ids": Many(64, TASK_ID), "skills": SKILLS},
    "ListTasksRequest": {**RUN, "page_size": ANY, "page_token": Text(100)},
    "ReturnTasksRequest": {"annotator": NAME, "task_ids": Many(64, TASK_ID), **RUN},
    "ExtendLeasesRequest": {
        "annotator": NAME,
        "task_ids": Many(64, TASK_ID),
        **RUN,
        "hold_s": Number(0, 30 * 86_400.0),
    },
    "SubmitAnnotationRequest": {
        "task_id": TASK_ID,
        "annotator": NAME,
        "choice": Known(),
        "seconds": Number(0, 1e9),
        "comment": Text(20_000),
    },
    "SubmitAnnotationsRequest": {"annotator": NAME, "answers": Many(64, INNER), **RUN},
    "SkipTaskRequest": {"task_id": TASK_ID, "annotator": NAME, "reason": Text(20_000)},
    "WithdrawAnnotationRequest": {"task_id": TASK_ID, "annotator": NAME, "revision": ANY, **RUN},
    "GetQueueRequest": {**RUN, "annotator": NAME, "skills": SKILLS},
    "LabelPairsRequest": {"judge": INNER, "pairs": Many(256, INNER), "seed": ANY},
    "ScorePairsRequest": {"model_uri": URI, "basis_uri": URI, "pairs": Many(1_024, INNER)},
    "GetJobRequest": {**RUN, "unit": INNER},
    "PreviewTriageRequest": {"work": INNER},
}
# What those hold.
PARTS: dict[str, dict[str, Bound]] = {
    "Pair": {
        "pair_id": NAME,
        "prompt": Many(10_000, INNER),
        "first": INNER,
        "second": INNER,
        "domain": LABEL,
        "group": ANY,
        "reference": Text(MOST_TEXT),
        "verdicts": Many(1_000, INNER),
        "known": INNER,
        "harmful": ANY,
        "needs": SKILLS,
        "first_place": UINT,
        "second_place": UINT,
    },
    "Reference": {
        "answers": Many(MOST_ANSWERS, Text(MOST_ANSWER)),
        "choices": Many(MOST_CHOICES, Text(MOST_ANSWER)),
        "constraints": Many(MOST_CONSTRAINTS, INNER),
        "schema": Text(MOST_SCHEMA),
        "ordered": ANY,
        "kind": Text(100),
    },
    "EndpointPace": {"url": URL, "window": UINT, "most": UINT},
    "Constraint": {"name": Text(100), "settings": Text(MOST_ANSWER)},
    "Message": {"role": Text(100), "content": Text(MOST_TEXT), "original": Text(MOST_TEXT)},
    "Response": {"text": Text(MOST_TEXT), "model": LABEL, "original": Text(MOST_TEXT)},
    "RecordedVerdict": {"judge": LABEL, "choice": Known(), "choice_swapped": Known(), "confidence": SHARE},
    "GivenAnswer": {
        "task_id": TASK_ID,
        "choice": Known(),
        "seconds": Number(0, 1e9),
        "comment": Text(20_000),
        "first_mark": Known(),
        "second_mark": Known(),
        "revision": ANY,
        "strength": Known(),
        "view": Known(),
        "swapped": ANY,
    },
    "Unit": {"stage": Known(), "round": UINT, "number": INDEX, "retry": UINT},
    "RunConfig": {
        **_settings(RunConfig, ""),
        "method": Text(100),
        "judge": INNER,
        "helpers": Many(20, INNER),
        "generators": Many(8, INNER),
        "human_budget": Number(0, MOST_VOTES),
        "human_budget_share": SHARE,
        "rlthf": INNER,
        "parent": INNER,
    },
    "JudgeConfig": {
        **_settings(JudgeConfig, "judge"),
        "kind": Text(100),
        "name": NAME,
        "url": URL,
        "own_prompts": Many(100, LABEL),
    },
    "Rlthf": _settings(Rlthf, "rlthf"),
    "Parent": {**RUN, "pairs": INDEX, "annotation_uris": Many(500, URI)},
    # A work item, which PreviewTriage takes.
    "Work": {
        "work_id": RUN_ID,
        **RUN,
        "unit": INNER,
        "config": INNER,
        "pairs_uri": URI,
        "set_aside": Many(10_000, NAME),
        **dict.fromkeys(("label_shard", "fit_features", "featurise_shard", "score_shard"), INNER),
        **dict.fromkeys(("triage_round", "build_dataset", "train_fold", "train_final"), INNER),
        **dict.fromkeys(("teach_shard", "embed_shard", "select_pairs", "generate_shard", "train_policy"), INNER),
        **dict.fromkeys(("score_policy", "judge_policy"), INNER),
    },
    "LabelShard": {"shard_uris": URIS, "pair_indexes": Many(MOST_URIS, INDEX)},
    "FitFeatures": {"max_texts": INDEX},
    "FeaturiseShard": {"shard_uri": URI, "basis_uri": URI},
    "EmbedShard": {"shard_uri": URI, "basis_uri": URI},
    "GenerateShard": {"shard_uri": URI},
    "SelectPairs": {"embeddings_uri": URI},
    "TrainPolicy": {"dataset_uri": URI},
    "ScorePolicy": {
        **{"shard_uri": URI, "basis_uri": URI, "model_uri": URI, "reward_uri": URI},
        **{"step": UINT, "kept": ANY},
    },
    "JudgePolicy": {"shard_uri": URI, "step": UINT, "kept": ANY},
    "ScoreShard": {"features_uri": URI, "models_uri": URI, "first_index": INDEX, "shard_uri": URI},
    "TriageRound": {
        "labels_uri": URI,
        "features_uri": URI,
        "scores_uri": URI,
        "annotation_uris": URIS,
        "ask": INDEX,
        "previous_uri": URI,
        "last": ANY,
        "taught_uri": URI,
    },
    "BuildDataset": {
        "labels_uri": URI,
        "annotation_uris": URIS,
        "posterior_uri": URI,
        "expected_error": SHARE,
        "audited_error": SHARE,
    },
    "TrainFold": {
        "fold": UINT,
        "labels_uri": URI,
        "features_uri": URI,
        "teacher": Known(),
        "chosen_uri": URI,
        "annotation_uris": URIS,
        "human_weight": Number(*recorded_bounds("")["human_weight"]),
    },
    "TeachShard": {
        "shard_uri": URI,
        "labels_uri": URI,
        "features_uri": URI,
        "annotation_uris": URIS,
        "posterior_uri": URI,
    },
    "TrainFinal": {
        "labels_uri": URI,
        "features_uri": URI,
        "posterior_uri": URI,
        "annotation_uris": URIS,
        "trust": UINT,
    },
}
TABLE: bounds.Table = {f"{PACKAGE}.{name}": fields for name, fields in {**REQUESTS, **PARTS}.items()}


def check(request: Message) -> None:
    """Raises InvalidInput that names the first field of a request beyond its bound; calls that are not ours pass."""
    if request.DESCRIPTOR.file.package == PACKAGE:
        bounds.check(request, TABLE)
