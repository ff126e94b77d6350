"""What a stage is: one value for each. Pure.

A plan (`methods.py`) puts stages in order; `runs/work.py` says what work each of them makes; everything else that has to
know a stage reads it here, so that a new one is added in these two places and in the service that does its units.
"""

from dataclasses import dataclass

from concord.kit.enums import short
from concord.kit.log import topics
from concord.kit.log.topics import Topic
from concord.v1.events_pb2 import Stage

# A stage and its round: 1, 2, … for stages that come again; 0 for those that do not.
Step = tuple[int, int]


@dataclass(frozen=True)
class StageKind:
    """One stage: who does its units, and what people read of it."""

    # What goes on while it is open, for the line that moves.
    doing: str
    # Its row of the report's ledger.
    title: str
    # Where its work goes; None: people do it.
    topic: Topic | None = None
    # One unit a shard of the corpus: there are many of these, and none of them looks at what people said.
    per_shard: bool = False
    # Its units are the AI judge's labels.
    judging: bool = False
    # It asks the AI judge or the models that answer prompts: it costs money, and some units may fail without stopping the run.
    paid: bool = False
    # Whether a person who watches is told which round it is.
    counted: bool = False
    # Its questions are about answers of the policy and no pairs of the run: what people say there is no label.
    of_policy: bool = False

    @property
    def people(self) -> bool:
        """Whether people do it: its units are questions, and their silence ends it."""
        return self.topic is None


STAGES: dict[int, StageKind] = {
    Stage.STAGE_GENERATE: StageKind("sampling answers", "Answers sampled", topics.LABEL, per_shard=True, paid=True),
    Stage.STAGE_EMBED: StageKind("embedding responses", "Embeddings", topics.SCORE, per_shard=True),
    Stage.STAGE_SELECT: StageKind("choosing the pairs to label", "Selection", topics.TRIAGE),
    Stage.STAGE_PILOT_LABEL: StageKind("judging the pilot", "Pilot, judge", topics.LABEL, judging=True, paid=True),
    Stage.STAGE_PILOT_ANNOTATE: StageKind("people answer the pilot", "Pilot, people"),
    Stage.STAGE_LABEL: StageKind(
        "judging every pair", "Judge, all pairs", topics.LABEL, per_shard=True, judging=True, paid=True
    ),
    Stage.STAGE_FIT_FEATURES: StageKind("fitting the features' basis", "Features, basis", topics.SCORE),
    Stage.STAGE_FEATURES: StageKind("computing features", "Features", topics.SCORE, per_shard=True),
    Stage.STAGE_TRAIN: StageKind("training out of fold", "Reward models", topics.TRAIN),
    Stage.STAGE_SCORE: StageKind("scoring", "Scores", topics.SCORE, per_shard=True),
    Stage.STAGE_TEACH: StageKind("people teach the judge", "Judge, taught", topics.LABEL, paid=True),
    Stage.STAGE_TRIAGE: StageKind("triage", "Triage", topics.TRIAGE, counted=True),
    Stage.STAGE_ANNOTATE: StageKind("people answer", "People", counted=True),
    Stage.STAGE_FINAL: StageKind("training the reward model", "Final model", topics.TRAIN),
    Stage.STAGE_DATASET: StageKind("writing the dataset", "Dataset", topics.TRIAGE),
    Stage.STAGE_POLICY: StageKind("aligning the policy", "Policy", topics.TRAIN),
    Stage.STAGE_SCORE_POLICY: StageKind("scoring the policy's answers", "Policy, scores", topics.SCORE),
    Stage.STAGE_EVALUATE: StageKind("judging the policy's answers", "Policy, judge", topics.LABEL, paid=True),
    Stage.STAGE_ANNOTATE_POLICY: StageKind("people compare the policy's answers", "Policy, people", of_policy=True),
}
# The stages that people do, those of them that label the run's pairs, and those whose units are the AI judge's verdicts.
HUMAN = tuple(stage for stage, kind in STAGES.items() if kind.people)
LABELLING = tuple(stage for stage in HUMAN if not STAGES[stage].of_policy)
JUDGING = tuple(stage for stage, kind in STAGES.items() if kind.judging)


def stage_name(stage: int) -> str:
    """`LABEL` for STAGE_LABEL."""
    return short(Stage, stage)


def step_name(stage: int, round_: int) -> str:
    """`LABEL`, or `TRIAGE.2` for a stage that comes again."""
    return f"{stage_name(stage)}.{round_}" if round_ else stage_name(stage)
