"""Who may call what, where callers show certificates: roles × RPCs, as one table. Pure.

A role is the first part of a certificate's common name (kit/caller.py). docs/security.md prints the table; tests/test_rights.py
asks every RPC of a real server as every role.
"""

from collections.abc import Mapping
from typing import Any

# What is asked, by what it is for.
LOOK = frozenset({"GetRun", "ListRuns", "WatchRun", "GetQueue", "ListTasks"})
# Texts of pairs, answers of people and what came of a run.
READ = frozenset({"ReadDataset", "ReadFacts", "ReadBlob", "ListDeadLetters"})
ANSWER = frozenset(
    {"NextTask", "NextTasks", "SubmitAnnotation", "SubmitAnnotations", "SkipTask", "WithdrawAnnotation"}
    | {"ReturnTasks", "ExtendLeases"}
)
BEGIN = frozenset({"CreateRun", "SubmitPairs", "StartRun"})
STEER = frozenset(
    {"PauseRun", "ResumeRun", "SetBudget", "RetryStage", "RequeueDeadLetters", "CancelRun", "RevokeAccess"}
)
# Asks of a service what it would say, beside any run; LabelPairs may cost money.
TRY = frozenset({"LabelPairs", "ScorePairs", "GetJob", "PreviewTriage"})
WORK = frozenset({"FindCancelled"})

MAY_CALL: Mapping[str, frozenset[str]] = {
    # Services, each by its name.
    "runs": frozenset(),
    "tasks": frozenset(),
    "labeling": WORK,
    "scoring": WORK,
    "triage": WORK,
    "training": WORK,
    # The pages: what its people may, as their links say.
    "console": LOOK | READ | ANSWER | STEER,
    # The one address in front of all: it passes calls on, and has none of its own.
    "door": frozenset(),
    # People and programs, `ROLE/NAME`.
    "annotator": frozenset({"GetRun", "GetQueue"}) | ANSWER,
    "viewer": LOOK | READ,
    "operator": LOOK | READ | BEGIN | STEER | TRY,
    "admin": LOOK | READ | ANSWER | BEGIN | STEER | TRY | WORK,
}
# Which service appends which kinds of fact; `runs` those of its callers and by rule, `keeper` from its own command. Kafka lets each
# of them write the fact topic as a whole: this table is what the code does, and what a reader of a log may hold a fact against.
MAY_APPEND: Mapping[str, frozenset[str]] = {
    "runs": frozenset(
        {"run_created", "pairs_added", "run_started", "budget_changed", "run_paused", "run_resumed", "stage_retried"}
        | {"run_cancelled", "access_revoked", "stage_opened", "stage_closed", "run_finished"}
    ),
    "tasks": frozenset({"annotation_submitted", "task_skipped", "annotation_withdrawn", "task_resolved"}),
    "labeling": frozenset(
        {"shard_generated", "shard_labeled", "shard_taught", "policy_judged", "unit_deferred", "unit_failed"}
    ),
    "scoring": frozenset(
        {
            "features_fitted",
            "shard_featurised",
            "shard_embedded",
            "shard_scored",
            "policy_scored",
            "unit_deferred",
            "unit_failed",
        }
    ),
    "triage": frozenset({"pairs_selected", "round_triaged", "dataset_built", "unit_deferred", "unit_failed"}),
    "training": frozenset({"fold_trained", "final_trained", "policy_trained", "unit_deferred", "unit_failed"}),
    "keeper": frozenset({"erased"}),
}
# Said of the process and not of any run: health, reflection.
ANYBODY = ("/grpc.health.v1.", "/grpc.reflection.")
# Who calls in other people's names; anybody else answers as himself.
FOR_OTHERS = frozenset({"console", "admin"})


# Whose word on who calls is believed.
BELIEVED = frozenset({"door"})


def why_not(role: str, own: str, method: str, request: Any, through: str = "") -> str:
    """Why somebody of this role and name may not call `/package.Service/Method` so, in words; empty: nothing stands against it.

    `through`: the role of who passes the call on and says whose it is; empty: the certificate is the caller's own.
    """
    if method.startswith(ANYBODY):
        return ""
    name = method.rpartition("/")[2]
    if through and through not in BELIEVED:
        return f"you show the certificate of {through[:100]!r}: you cannot call for others"
    if role in BELIEVED:
        return f"{role} passes calls on and has none of its own: it has to say whose this one is"
    if role not in MAY_CALL:
        known = ", ".join(MAY_CALL)
        return f"your certificate says {role[:100]!r}, and that is no role; roles are {known}"
    if name not in MAY_CALL[role]:
        return f"{name} is not for {role}"
    asked = getattr(request, "annotator", "")
    if role not in FOR_OTHERS and name in ANSWER | {"GetQueue"} and asked not in ("", own):
        return f"your certificate says {own!r}: you cannot answer as {asked[:100]!r}"
    return ""
