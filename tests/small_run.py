"""A whole run in memory, for the report's tests: the real state machines and workers, an invented judge and people.

Each invented answer holds some sound sentences and some padding. The truth counts the sound ones; the judge also likes
padding, so it has something to be corrected; people err now and then. All of it follows from the seed.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from concord.kit.blobs import MemoryBlobs
from concord.kit.ids import event_id, result_id, run_id
from concord.kit.log import Record
from concord.kit.loop.fold import Append, Context, Dispatch, Fold, Folded, fold_records, start_run
from concord.labeling.judge import Combined, Further
from concord.labeling.verdict_columns import shard_labeled
from concord.preference import evaluating
from concord.preference.judges import column_name
from concord.preference.pairs import make_pair
from concord.runs import evolve as runs_evolve
from concord.runs import loop
from concord.runs import state as runs_state
from concord.scoring.units import Units
from concord.tasks import queue
from concord.training.service import Training
from concord.triage.service import Triage
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, Stage, Usage
from concord.v1.pairs_pb2 import Choice, Mark, Message, Pair, PairShard, PairsManifest, Response, ShardRef

FIRST, SECOND, TIE = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND, Choice.CHOICE_TIE
RUNS = Fold(1, runs_state.initial, runs_evolve.evolve, runs_state.row, runs_state.restore, loop.due, runs_state.active)
TASKS = Fold(1, queue.initial, queue.evolve, queue.row, queue.restore, queue.due, queue.active)

TOPICS = (
    "sourdough starter",
    "bicycle chain",
    "leaking tap",
    "tax return",
    "first aid kit",
    "house plant",
    "old laptop",
)
SOUND = (
    "Start by checking the {} for anything loose or worn.",
    "Write down what you change, so that you can undo it.",
    "Twenty minutes at room temperature are enough for the {}.",
    "If it smells sour after that, throw it away and begin again.",
    "The manual of the {} names the size of the screw on page four.",
)
PADDING = (
    "That is a wonderful question, and I am so glad that you asked it!",
    "As many experts around the world would surely agree, this is truly important.",
    "In today's fast-moving world, everybody should think about such things more often.",
    "I hope that this helps you on your exciting journey, whatever it may bring.",
)


@dataclass
class SmallRun:
    """What a run leaves behind, and what only its inventor knows."""

    events: list[tuple[Event, float]] = field(default_factory=list)
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    truth: dict[int, int] = field(default_factory=dict)  # Choice by pair index


def config_of(method: str = "posterior", **changes: object) -> RunConfig:
    """A small run's configuration."""
    settings: dict[str, object] = dict(
        method=method,
        seed=7,
        judge=JudgeConfig(kind="llm", name="small-judge", both_orders=True),
        quorum=1,
        pilot=-1,
        annotators="simulated:0.05",
        human_budget=48,
        batch_share=0.05,
        audit_share=0.25,
        folds=4,
        shard_pairs=32,
        window=4,
        max_failed_units=1,
        human_weight=2.0,
        components=16,
    )
    return RunConfig(**(settings | changes))


def small_run(
    config: RunConfig | None = None,
    pairs: int = 200,
    texts: Mapping[int, tuple[str, str, str]] | None = None,
    stop_at: int = Stage.STAGE_UNSPECIFIED,
    judge_inverted: bool = False,
    people: int = 1,
    opposing: str = "",
    swapped: Callable[[int], bool] = lambda pair: False,
    workers: Callable[[MemoryBlobs], tuple[Units, Training]] = lambda blobs: (Units(blobs), Training(blobs)),
) -> SmallRun:
    """Runs it to its end, or until a stage of kind `stop_at` opens.

    `texts`: prompt, first and second response of single pairs. `judge_inverted`: it always prefers what is worse.
    `people`: how many share the questions; the one of them named `opposing` (`person-1` …) says the opposite, always.
    `swapped`: of which pairs the judge says the other one. `workers`: what does the units of scoring and of training.
    """
    world = _World(config or config_of(), pairs, texts or {}, judge_inverted, workers)
    world.people, world.opposing, world.swapped = people, opposing, swapped
    return world.run(stop_at)


class _World:
    def __init__(
        self,
        config: RunConfig,
        count: int,
        texts: Mapping[int, tuple[str, str, str]],
        inverted: bool,
        workers: Callable,
    ) -> None:
        self.config, self.left, self.clock = config, SmallRun(), 1_760_000_000.0
        self.invented = _invent(count, texts)
        self.inverted, self.people, self.opposing = inverted, 1, ""
        self.swapped: Callable[[int], bool] = lambda pair: False
        for index, (_, sound, _) in enumerate(self.invented):
            self.left.truth[index] = FIRST if sound > 0 else SECOND if sound < 0 else TIE
        self.id = run_id(hashlib.sha256(b"small").hexdigest(), config.SerializeToString(deterministic=True))
        self.runs, self.tasks = start_run(RUNS, self.id), start_run(TASKS, self.id)
        scoring, training = workers(self.left.blobs)
        triage = Triage(self.left.blobs)
        self.do: dict[str, Callable] = {"label_shard": self._label} | dict.fromkeys(
            ("fit_features", "featurise_shard", "score_shard", "score_policy"), scoring.do
        )
        self.do["judge_policy"] = self._judge_policy
        self.do |= dict.fromkeys(("triage_round", "build_dataset"), triage.do)
        self.do |= dict.fromkeys(("train_fold", "train_final", "train_policy"), training.do)

    def run(self, stop_at: int) -> SmallRun:
        self._create()
        while runs_state.active(self.runs.state):
            opened = self.runs.state.open
            if opened is not None and opened.stage == stop_at:
                break
            outputs = [*loop.due(self.runs.state, self._context(self.runs)), *self._people()]
            if not outputs:
                break
            for output in outputs:
                self._answer(output)
        return self.left

    def _context(self, folded: Folded) -> Context:
        return Context(self.clock, {}, folded.offset, folded.history.hex())

    def _create(self) -> None:
        size, refs = self.config.shard_pairs, []
        for at in range(0, len(self.invented), size):
            shard = PairShard(first_index=at, pairs=[pair for pair, _, _ in self.invented[at : at + size]])
            uri = self.left.blobs.put(shard.SerializeToString())
            refs.append(ShardRef(uri=uri, first_index=at, pairs=len(shard.pairs), text_bytes=40_000))
        manifest = PairsManifest(shards=refs, pairs=len(self.invented)).SerializeToString()
        created = {
            "config": self.config,
            "input_sha256": hashlib.sha256(b"small").hexdigest(),
            "input_name": "small.jsonl",
        }
        started = {"pairs_uri": self.left.blobs.put(manifest), "pairs": len(self.invented)}
        self._say(Event(event_id=event_id(self.id, "created"), run_created=created))
        self._say(Event(event_id=event_id(self.id, "added"), pairs_added={"shards": refs}))
        started["human_budget"] = self.config.human_budget
        self._say(Event(event_id=event_id(self.id, "started"), run_started=started))

    def _say(self, event: Event, seconds: float = 0.05) -> None:
        self.clock += seconds
        event.run_id = self.id
        record = Record("facts", 0, len(self.left.events), b"", event.SerializeToString(), self.clock)
        self.left.events.append((event, self.clock))
        self.runs, _ = fold_records(RUNS, self.runs, [record])
        self.tasks, _ = fold_records(TASKS, self.tasks, [record])

    def _answer(self, output: Append | Dispatch) -> None:
        if isinstance(output, Append):
            for blob in output.blobs:
                self.left.blobs.put(blob)
            self._say(output.event)
            return
        work = output.work
        event = self.do[work.WhichOneof("task")](work)
        # A worker's seconds differ from try to try; these must not.
        event.usage.seconds = 1.5
        event.event_id = result_id(self.id, work.unit)
        event.unit.CopyFrom(work.unit)
        self._say(event, 1.5)

    def _label(self, work) -> Event:
        """The invented judge: sound sentences and padding count alike, plus chance."""
        shards = [PairShard.FromString(self.left.blobs.get(uri)) for uri in work.label_shard.shard_uris]
        indexed = [(shard.first_index + at, pair) for shard in shards for at, pair in enumerate(shard.pairs)]
        wanted = set(work.label_shard.pair_indexes)
        asked = [(index, pair) for index, pair in indexed if not wanted or index in wanted]
        calls = 2 * len(asked)
        usage = Usage(calls=calls, prompt_tokens=410 * calls, completion_tokens=37 * calls, dollars=0.0004 * calls)
        if work.unit.stage == Stage.STAGE_LABEL and work.unit.number == 0:
            usage.calls, usage.cached_calls = calls - 6, 6
        said = [self._verdict(index) for index, _ in asked]
        helpers = {column_name(helper): [self._other(index) for index, _ in asked] for helper in self.config.helpers}
        scores = [self._scores(index) for index, _ in asked] if self.config.rubric else ()
        labeled = shard_labeled(asked, said, helpers, further=Further(scores=scores))
        return Event(shard_labeled=labeled, usage=usage)

    def _judge_policy(self, work) -> Event:
        """The judge likes a few words more, and many less."""
        task = work.judge_policy
        pairs = list(PairShard.FromString(self.left.blobs.get(task.shard_uri)).pairs)
        said = [self._liked(len(pair.first.text)) - self._liked(len(pair.second.text)) for pair in pairs]
        verdicts = [Combined(FIRST if one > 0 else SECOND, float(one > 0), 0.9, 0) for one in said]
        labels = shard_labeled(list(enumerate(pairs)), verdicts, {})
        wins, losses = evaluating.score([pair.first.model for pair in pairs], labels)
        judged = {"labels": labels, "step": task.step, "kept": task.kept, "wins": wins, "losses": losses}
        return Event(policy_judged=judged, usage=Usage(calls=2 * len(pairs)))

    def _better_of_policy(self, index: int) -> int:
        """People's own taste in the policy's answers, by the first one's length alone: 1 it is better, else -1."""
        manifest = PairsManifest.FromString(self.left.blobs.get(self.tasks.state.run.asked_uri))
        ref = next(one for one in manifest.shards if one.first_index <= index < one.first_index + one.pairs)
        pair = PairShard.FromString(self.left.blobs.get(ref.uri)).pairs[index - ref.first_index]
        return 1 if self._liked(len(pair.first.text)) > self._liked(len(pair.second.text)) else -1

    @staticmethod
    def _liked(characters: int) -> float:
        return -abs(characters - 11)

    def _other(self, index: int) -> Combined:
        """What another judge says, who knows what is sound."""
        first = self.invented[index][1] > 0
        return Combined(FIRST if first else SECOND, float(first), None, 0, (FIRST if first else SECOND,) * 2)

    def _scores(self, index: int) -> tuple[float, float]:
        """Of each response alone: what is sound counts, and some of the padding."""
        _, sound, padding = self.invented[index]
        return 5.0 + sound, 5.0 - 0.25 * padding

    def _verdict(self, index: int) -> Combined:
        _, sound, padding = self.invented[index]
        draw = np.random.default_rng([11, index])
        score = -sound if self.inverted else 1.3 * sound + 1.2 * padding + draw.normal(0, 0.8)
        score = -score if self.swapped(index) else score
        if draw.random() < 0.01:
            return Combined(Choice.CHOICE_UNSPECIFIED, 0.5, 0.0, -1)
        p_first = float(1 / (1 + np.exp(-1.2 * score)))
        flipped = int(draw.random() < 0.6 * np.exp(-abs(score)))
        return Combined(FIRST if score > 0 else SECOND, p_first, max(p_first, 1 - p_first), flipped)

    def _people(self) -> Sequence[Append]:
        """Everybody answers what is open; then the queue settles what is full."""
        for number, task in self.tasks.state.tasks.items():
            wanted = 0 if task.resolved else queue.slots_of(self.tasks.state, task)
            for vote in range(len(queue.counted(task)), wanted):
                self._judge(number, task, vote)
        return queue.due(self.tasks.state, self._context(self.tasks))

    def _judge(self, number: int, task, vote: int) -> None:
        index = task.pair_index
        sound = self.invented[index][1] if index < len(self.invented) else self._better_of_policy(index)
        draw = np.random.default_rng([13, index, vote])
        name = event_id(self.id, "annotation", task.task_id, vote, 1)
        person = (int(np.random.default_rng([19, index]).integers(self.people)) + vote) % max(self.people, vote + 1)
        event, who = Event(event_id=name, unit=task.unit), f"person-{person + 1}"
        if index % 29 == 5:
            event.task_skipped.pair_index, event.task_skipped.annotator, event.task_skipped.vote = index, who, vote
        else:
            side = FIRST if (sound > 0) != (draw.random() < 0.05 or who == self.opposing) else SECOND
            said = event.annotation_submitted
            said.pair_index, said.annotator, said.revision, said.vote = index, who, 1, vote
            said.choice, said.seconds = side if sound else TIE, round(float(draw.gamma(6, 5)), 1)
            said.comment = "The other one only flatters." if number % 4 == 0 else ""
            if index >= len(self.invented):
                marks = Mark.MARK_ACCEPTABLE, Mark.MARK_NOT_ACCEPTABLE
                said.first_mark, said.second_mark = marks if said.choice == FIRST else marks[::-1]
        self._say(event, 12.0)


def _invent(count: int, texts: Mapping[int, tuple[str, str, str]]) -> list[tuple[Pair, int, int]]:
    """Pairs, each with how many more sound sentences and how much more padding its first response has."""
    made = []
    for index in range(count):
        draw = np.random.default_rng([17, index])
        topic = TOPICS[index % len(TOPICS)]
        # In half of the pairs the worse answer is the padded one: there the judge's taste makes it wrong.
        sound = draw.integers(0, 4, 2)
        padding = 3 - sound if draw.random() < 0.5 else draw.integers(0, 4, 2)
        answers = [_text(topic, int(sound[side]), int(padding[side]), draw) for side in (0, 1)]
        prompt = f"What should I do about my {topic}? (case {index})"
        prompt, first, second = texts.get(index, (prompt, *answers))
        turns = [Message(role="user", content=prompt)]
        pair = make_pair(f"small-{index:04}", turns, Response(text=first), Response(text=second))
        made.append((pair, int(sound[0] - sound[1]), int(padding[0] - padding[1])))
    return made


def _text(topic: str, sound: int, padding: int, draw: np.random.Generator) -> str:
    sentences = [*draw.choice(SOUND, sound, replace=False), *draw.choice(PADDING, padding, replace=False)]
    return " ".join(str(sentence).format(topic) for sentence in sentences)
