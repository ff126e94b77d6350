"""The AI judge as units of work, and for a caller who waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from concurrent.futures import CancelledError
from functools import partial
from types import MappingProxyType

import grpc

from concord.checks.computation import Computation
from concord.kit.blobs import Blobs
from concord.kit.egress import OWN, Egress
from concord.kit.errors import ConcordError, InvalidInput, Late, Unavailable
from concord.kit.plural import many
from concord.kit.rpc import Servicer
from concord.labeling import checking, recorded, sample_judge
from concord.labeling.answer_cache import AnswerCache
from concord.labeling.batch_notes import BatchNotes
from concord.labeling.batch_wire import BatchWire
from concord.labeling.batches import LOOK_S, Batched, Batches
from concord.labeling.chat import ChatSettings
from concord.labeling.conduct import with_conduct
from concord.labeling.further import Ways
from concord.labeling.further import further as ask_further
from concord.labeling.generation import answers_of, shard_generated
from concord.labeling.judge import Combined, Further
from concord.labeling.lesson import Lessons, Teach
from concord.labeling.llm import LLMJudges
from concord.labeling.shard import AskFurther, label_shard
from concord.labeling.spending import total
from concord.labeling.teaching import Example
from concord.labeling.turns import Turns
from concord.preference import evaluating, further, generating
from concord.preference.judges import JUDGE_KINDS, networked, networked_judges
from concord.v1 import labeling_service_pb2 as pb
from concord.v1 import labeling_service_pb2_grpc
from concord.v1.config_pb2 import JudgeConfig, RunConfig
from concord.v1.events_pb2 import Event, ShardLabeled, Stage, Usage
from concord.v1.pairs_pb2 import Pair, PairShard
from concord.v1.work_pb2 import Work

SERVICE = "labeling"
ANSWER_S = 600.0


# What judging some pairs gives: verdicts in their order, and what they cost.
Asked = tuple[list[Combined], Usage]


class Labeling(labeling_service_pb2_grpc.LabelingServiceServicer):
    """The units of GENERATE, PILOT_LABEL, LABEL, TEACH and EVALUATE; every coroutine of it runs in one asyncio loop.

    `environ` holds the variables that judges may take their keys from, `homes` where each key may be sent, `egress` where a
    judge may be: those of `settings.allowed_keys`, `settings.key_homes` and `settings.egress`.
    """

    def __init__(
        self,
        blobs: Blobs,
        answers_url: str,
        concurrency: int,
        environ: Mapping[str, str],
        look_s: float = LOOK_S,
        homes: Mapping[str, Sequence[str]] = MappingProxyType({}),
        egress: Egress = OWN,
    ) -> None:
        self._egress = egress
        self._blobs, self._look_s, self._computation = blobs, look_s, Computation()
        self._answers_url, self._concurrency, self._environ, self._homes = answers_url, concurrency, environ, homes
        self._judges: LLMJudges | None = None
        self._cache: AnswerCache | None = None
        # Where others may ask the same endpoints: PostgreSQL's users are many, a file has one.
        self._turns: Turns | None = None
        self._batches: Batches | None = None
        # How a judge of each kind of `preference/judges.py` is asked.
        self.kinds: dict[str, Callable[[Sequence[Pair], JudgeConfig, int], Awaitable[Asked]]] = {
            "sample": _ask_sample,
            "recorded": _ask_recorded,
            "llm": self._ask_llm,
        }
        # And beside its verdicts, of those that know more.
        self.further_kinds = {"sample": _sample_further, "llm": self._llm_further}
        self.taught_kinds: dict[str, Teach] = {"sample": _sample_taught, "llm": self._llm_taught}
        self._lessons = Lessons(blobs)

    def paces(self) -> list[tuple[str, int, int]]:
        """What was found out of the endpoints (`LLMJudges.paces`). For any thread."""
        return self._judges.paces() if self._judges is not None else []

    async def do(self, work: Work) -> Event:
        """The unit's fact, without its names. Raises Deferred where an endpoint is away for too long."""
        others = {"teach_shard": self._teach, "generate_shard": self._generate, "judge_policy": self._judge_policy}
        if other := others.get(work.WhichOneof("task") or ""):
            return await other(work)
        task, began = work.label_shard, time.monotonic()
        wanted = frozenset(task.pair_indexes)
        # Elsewhere: the calls of other units need the loop.
        read = [await asyncio.to_thread(self._read, uri, wanted) for uri in task.shard_uris]
        pairs = [pair for shard in read for pair in shard]
        tried = (
            None if work.config.checks_off else await asyncio.to_thread(checking.tried, pairs, self._computation.equal)
        )
        asked = checking.judged(pairs, tried)
        before = await self._gathered(work, [pair for _, pair in asked])
        try:
            labels, usage = await self._label(
                asked, work.config.judge, work.config.helpers, work.config.seed, self._further(work)
            )
        except ConcordError as error:
            error.usage = total((before, error.usage or Usage()))
            raise
        labels = await asyncio.to_thread(with_conduct, checking.with_checks(labels, pairs, tried), pairs)
        usage = total((before, usage))
        usage.seconds = time.monotonic() - began
        return Event(shard_labeled=labels, usage=usage)

    async def _teach(self, work: Work) -> Event:
        began = time.monotonic()
        if not (teach := self.taught_kinds.get(work.config.judge.kind)):
            raise InvalidInput(f"judge.kind {work.config.judge.kind!r} cannot be taught; leave people_teach out")
        event = await self._lessons.do(work, teach)
        event.usage.seconds = time.monotonic() - began
        return event

    async def _judge_policy(self, work: Work) -> Event:
        """Verdicts on a policy's answers and its start's, and beside them what checks and the safety class say of each."""
        began = time.monotonic()
        task = work.judge_policy
        pairs = await asyncio.to_thread(self._read, task.shard_uri, frozenset())
        tried = await asyncio.to_thread(checking.tried, pairs, self._computation.equal)
        judge, *helpers = evaluating.judges(work.config)
        labels, usage = await self._label(pairs, judge, helpers, work.config.seed)
        labels = await asyncio.to_thread(with_conduct, checking.beside(labels, tried), pairs)
        usage.seconds = time.monotonic() - began
        wins, losses = evaluating.score([pair.first.model for _, pair in pairs], labels)
        judged = {"labels": labels, "step": task.step, "kept": task.kept, "wins": wins, "losses": losses}
        return Event(policy_judged=judged, usage=usage)

    async def _generate(self, work: Work) -> Event:
        """The candidate pairs of a shard of prompts."""
        began, config = time.monotonic(), work.config
        read = await asyncio.to_thread(self._read, work.generate_shard.shard_uri, frozenset())
        prompts, llm, samples = [pair for _, pair in read], self._llm(), generating.samples(config)
        batched = [llm.sampler(one, samples) for one in config.generators if one.batch]
        before = await self._collected(work, batched, prompts)
        try:
            answers, usage = await answers_of(prompts, config.generators, samples, config.seed, llm.sampled)
        except ConcordError as error:
            error.usage = total((before, error.usage or Usage()))
            raise
        fact = await asyncio.to_thread(shard_generated, prompts, answers, self._blobs.put)
        usage = total((before, usage))
        usage.seconds = time.monotonic() - began
        return Event(shard_generated=fact, usage=usage)

    async def _gathered(self, work: Work, pairs: Sequence[Pair]) -> Usage:
        """What reading the unit's batches cost, once there is nothing to wait for. People wait for the pilot: it is asked live."""
        judges = [judge for judge in networked_judges(work.config) if judge.batch]
        if not judges or work.unit.stage != Stage.STAGE_LABEL:
            return Usage()
        return await self._collected(work, [self._llm().of(judge) for judge in judges], pairs)

    async def _collected(self, work: Work, models: Sequence[Batched], pairs: Sequence[Pair]) -> Usage:
        """As `_gathered`, for these models."""
        if not models or not pairs:
            return Usage()
        batches = self._batched()
        gathered = [batches.gather(one, work.run_id, work.work_id, pairs, work.config.seed) for one in models]
        # All of them hand in what they have before the first one's wait ends this.
        found = await asyncio.gather(*gathered, return_exceptions=True)
        paid = total(one if isinstance(one, Usage) else getattr(one, "usage", None) or Usage() for one in found)
        for one in found:
            if isinstance(one, BaseException):
                if isinstance(one, ConcordError):
                    one.usage = paid
                raise one
        return paid

    async def prune(self, before: float) -> int:
        """Deletes the answers that were written before that time; how many."""
        self._llm()
        return await self._cache.prune(before) if self._cache is not None else 0

    async def sweep(self, is_cancelled: Callable[[str], bool]) -> int:
        """Cancels the batches that cancelled runs wait for; how many."""
        return await self._batched().sweep(is_cancelled)

    def _read(self, uri: str, wanted: Set[int]) -> list[tuple[int, Pair]]:
        """The shard's pairs with their indexes in the run, only the `wanted` ones if there are any.

        A pilot unit's pairs lie in as many shards: its pairs are copied out, for one pair would keep its shard's texts.
        """
        shard = PairShard.FromString(self._blobs.get(uri))
        indexed = enumerate(shard.pairs, start=shard.first_index)
        return [(index, _copy(pair)) for index, pair in indexed if index in wanted] if wanted else list(indexed)

    async def _label(
        self,
        pairs: Sequence[tuple[int, Pair]],
        judge: JudgeConfig,
        helpers: Sequence[JudgeConfig],
        seed: int,
        further: AskFurther | None = None,
    ):
        if not pairs:  # Checks settled all of them.
            return ShardLabeled(), Usage()
        return await label_shard(pairs, judge, helpers, seed, self._ask, recorded.own_disagree, further)

    def _further(self, work: Work) -> AskFurther | None:
        """How the judge is asked beside its verdicts; None where nothing is. Nobody reads it of the pilot."""
        if work.unit.stage != Stage.STAGE_LABEL or not further.calls(work.config):
            return None
        if ask := self.further_kinds.get(work.config.judge.kind):
            return partial(ask, config=work.config)
        raise InvalidInput(
            f"judge.kind {work.config.judge.kind!r} gives verdicts alone; leave rubric, judge_votes and criteria_apart out"
        )

    async def _ask(self, pairs: Sequence[Pair], config: JudgeConfig, seed: int) -> Asked:
        """One judge about these pairs, whatever its kind."""
        if ask := self.kinds.get(config.kind):
            return await ask(pairs, config, seed)
        raise InvalidInput(f"judge.kind {config.kind!r} is not one of {', '.join(self.kinds)}")

    async def _ask_llm(self, pairs: Sequence[Pair], config: JudgeConfig, seed: int) -> Asked:
        return await self._llm().ask(pairs, config, seed)

    async def _llm_further(
        self, pairs: Sequence[Pair], labels: Sequence[Combined], config: RunConfig
    ) -> tuple[Further, Usage]:
        return await self._llm().further(pairs, labels, config)

    async def _llm_taught(
        self, pairs: Sequence[Pair], examples: Sequence[Sequence[Example]], config: RunConfig
    ) -> Asked:
        return await self._llm().taught(pairs, examples, config)

    def _llm(self) -> LLMJudges:
        if self._judges is None:
            self._cache = AnswerCache(self._answers_url)
            settings = ChatSettings(concurrency=self._concurrency)
            if self._answers_url.startswith("postgres"):
                self._turns = Turns(self._answers_url)
            take = self._turns.take if self._turns else None
            self._judges = LLMJudges(
                self._cache, self._environ, settings, homes=self._homes, egress=self._egress, take=take
            )
        return self._judges

    def _batched(self) -> Batches:
        if self._batches is None:
            llm = self._llm()
            self._batches = Batches(
                BatchNotes(self._answers_url), lambda judge: BatchWire(llm.endpoint(judge)), self._look_s
            )
        return self._batches

    async def close(self) -> None:
        """Lets go of connections and of the answer cache."""
        self._computation.close()
        if self._batches is not None:
            await self._batches.close()
        if self._judges is not None and self._cache is not None:
            await self._judges.close()
            await self._cache.close()
        if self._turns is not None:
            self._turns.close()


async def _ask_sample(pairs: Sequence[Pair], config: JudgeConfig, seed: int) -> Asked:
    return [sample_judge.judged(pair, seed) for pair in pairs], Usage()


async def _sample_further(
    pairs: Sequence[Pair], labels: Sequence[Combined], config: RunConfig
) -> tuple[Further, Usage]:
    ways = Ways(partial(sample_judge.score, seed=config.seed), partial(sample_judge.again, seed=config.seed))
    return await ask_further(pairs, labels, config, ways), Usage()


async def _sample_taught(pairs: Sequence[Pair], examples: Sequence[Sequence[Example]], config: RunConfig) -> Asked:
    return [sample_judge.taught(pair, config.seed) for pair in pairs], Usage()


async def _ask_recorded(pairs: Sequence[Pair], config: JudgeConfig, seed: int) -> Asked:
    return [recorded.judged(pair, config.name) for pair in pairs], Usage()


def _copy(pair: Pair) -> Pair:
    own = Pair()
    own.CopyFrom(pair)
    return own


class _Served(labeling_service_pb2_grpc.LabelingServiceServicer):
    """LabelingService; calls into the loop that all LLM calls share."""

    def __init__(self, labeling: Labeling, loop: asyncio.AbstractEventLoop) -> None:
        self._labeling, self._loop = labeling, loop

    def LabelPairs(self, request: pb.LabelPairsRequest, context: grpc.ServicerContext) -> pb.LabelPairsResponse:
        _check(request)
        asked = self._labeling._label(list(enumerate(request.pairs)), request.judge, (), request.seed)
        future = asyncio.run_coroutine_threadsafe(asked, self._loop)
        # A caller who hung up wants nothing more, and pays for nothing more.
        if not context.add_callback(future.cancel):
            future.cancel()
        left = context.time_remaining()
        try:
            labels, usage = future.result(ANSWER_S if left is None else min(left, ANSWER_S))
        except TimeoutError:
            future.cancel()
            raise Late(
                f"no verdicts on {many(len(request.pairs), 'pair')} within the call's deadline; those that came are kept: "
                "ask again, "
                "give more time or fewer pairs"
            ) from None
        except CancelledError:
            raise Unavailable(
                "the call was ended before its verdicts came; those that came are kept: ask again"
            ) from None
        return pb.LabelPairsResponse(labels=labels, usage=usage)


def _check(request: pb.LabelPairsRequest) -> None:
    """What no bounds of one field say."""
    if not request.pairs:
        raise InvalidInput("pairs: none are given; between 1 and 256 are taken")
    if request.judge.kind not in JUDGE_KINDS:
        raise InvalidInput(f"judge.kind {request.judge.kind[:60]!r} is not one of {', '.join(JUDGE_KINDS)}")
    if networked(request.judge) and not request.judge.name:
        raise InvalidInput("judge.name is empty; it is the model's name at the endpoint")


def servicer(labeling: Labeling, loop: asyncio.AbstractEventLoop) -> Servicer:
    """LabelingService, ready to be served."""
    add: Callable = labeling_service_pb2_grpc.add_LabelingServiceServicer_to_server
    return Servicer("concord.v1.LabelingService", add, _Served(labeling, loop))
