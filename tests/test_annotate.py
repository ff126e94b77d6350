"""`concord annotate`: one person, one key a pair, on a real run; the screen is driven by the library's own pilot."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from textual import events

from concord.client.annotate.screen import Screen, harmless
from concord.client.annotate.sitting import Sitting
from concord.client.run import desk, drive
from concord.embedded import embedded
from concord.kit import rpc
from concord.kit.settings import from_environment
from concord.v1 import pairs_pb2 as pairs
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2 import ListTasksRequest, NextTasksRequest
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from tests.test_asking import facts_of, job_of
from tests.test_cli import concord

WAIT_S = 60


class Place:
    """A run that asks people, and its front door."""

    def __init__(self, folder: Path, address: str, channel, job) -> None:
        self.home, self.address, self.job = folder / "home", address, job
        self.runs, self.tasks = RunServiceStub(channel), TaskServiceStub(channel)

    def sitting(self, who: str = "ann") -> Sitting:
        return Sitting(self.runs, self.tasks, self.job.run_id, who)

    def asked(self, sitting: Sitting):
        """The next question, once there is one."""
        for _ in range(int(WAIT_S / desk.LOOK_S)):
            if question := sitting.next():
                return question
            desk.threading.Event().wait(desk.LOOK_S)
        raise AssertionError("nobody is asked anything")

    def said(self) -> list:
        facts = facts_of(self.home, self.job.run_id)
        return [event.annotation_submitted for event in facts if event.HasField("annotation_submitted")]


@contextmanager
def place_in(folder: Path, **flags: object) -> Iterator[Place]:
    # The sample brings right answers: checked, most pairs would need nobody.
    job = job_of(folder, annotators="people", checks=False, **flags)
    with embedded(from_environment({}, home=str(folder / "home"))) as running, rpc.channel(running.address) as channel:
        place = Place(folder, running.address, channel, job)
        drive.begin(place.runs, job.run_id, job.config, [row.pair for row in job.given.rows], job.given.sha256, "x")
        yield place


def test_one_person_answers_a_whole_run_with_one_key_a_pair(tmp_path):
    with place_in(tmp_path) as place:

        async def sit() -> str | None:
            app = Screen(place.sitting())
            async with app.run_test(size=(100, 40)) as pilot:
                keys = iter("12ts" * 10)
                while app.return_value is None:
                    await pilot.press(next(keys) if app.question else "enter")
                    await pilot.pause(0.05)
            return app.return_value

        assert asyncio.run(asyncio.wait_for(sit(), WAIT_S)) == "the run is finished"
        view = drive.watch(place.runs, place.job.run_id, None, lambda view: None)
        assert view.status == RUN_STATUS_FINISHED
    said = place.said()
    assert {one.annotator for one in said} == {"ann"} and 8 < len(said) == view.votes
    assert all(one.seconds > 0 for one in said)


def test_the_screen_shows_prompt_and_both_responses_and_nothing_of_the_judge(tmp_path):
    with place_in(tmp_path) as place:
        place.asked(place.sitting())

        async def sit() -> str:
            app = Screen(place.sitting())
            async with app.run_test(size=(160, 60)) as pilot:
                await pilot.pause()
                pair = app.question.task.pair
                assert not pair.verdicts and not pair.reference
                shown = "\n".join(str(one.render()) for one in app.query("Static"))
                for text in (pair.prompt[-1].content, pair.first.text, pair.second.text):
                    assert text in shown
                assert "the pilot: 0 of" in shown
                await pilot.press("q")
            return shown

        shown = asyncio.run(sit())
        assert "verdict" not in shown and "judge" not in shown


def test_a_key_that_was_pressed_before_a_question_was_shown_answers_nothing(tmp_path):
    with place_in(tmp_path) as place:
        place.asked(place.sitting())

        async def sit() -> tuple[int, int]:
            early, sitting = events.Key("1", "1"), place.sitting()
            app = Screen(sitting)
            async with app.run_test(size=(100, 40)) as pilot:
                await pilot.pause()
                shown = app.question
                await app.on_event(early)
                await pilot.pause()
                assert app.question is shown
                before = sitting.answered
                await pilot.press("1")
                await pilot.pause()
                after = sitting.answered
                await pilot.press("q")
            return before, after

        assert asyncio.run(sit()) == (0, 1)


def test_undo_takes_the_last_answer_back_before_anybody_has_seen_it(tmp_path):
    with place_in(tmp_path) as place:
        sitting = place.sitting()
        first = place.asked(sitting)
        sitting.answer(first, pairs.CHOICE_TIE)
        second = sitting.next()
        assert second.task.task_id != first.task.task_id
        again = sitting.undo()
        assert again.task.task_id == first.task.task_id and sitting.answered == 0
        sitting.answer(again, pairs.CHOICE_FIRST)
        sitting.leave()
        (said,) = place.said()
        assert said.choice == again.meant(pairs.CHOICE_FIRST)
        assert "counts already" in sitting.undo() and "no answer" in place.sitting().undo()


def test_where_several_vote_an_answer_can_be_taken_back_until_the_task_is_settled(tmp_path):
    with place_in(tmp_path, quorum=2, budget="24") as place:
        sitting = place.sitting()
        first = place.asked(sitting)
        sitting.answer(first, pairs.CHOICE_TIE)
        sitting.answer(sitting.next(), pairs.CHOICE_TIE)
        assert sitting.undo().task.task_id != first.task.task_id
        assert sitting.undo().task.task_id == first.task.task_id
        assert sitting.answered == 0


def test_who_leaves_hands_in_what_was_said_and_goes_on_later_with_the_rest(tmp_path):
    with place_in(tmp_path) as place:
        sitting = place.sitting()
        sitting.answer(place.asked(sitting), pairs.CHOICE_TIE)
        left = sitting.next()
        sitting.leave()
        open_ = place.tasks.ListTasks(ListTasksRequest(run_id=place.job.run_id)).tasks
        assert not any(task.leased_by for task in open_), "nobody waits for a lease"
        assert place.asked(place.sitting("bob")).task.task_id == left.task.task_id
        assert len(place.said()) == 1


def test_each_annotator_sees_half_of_the_pairs_the_other_way_round_and_means_what_was_shown(tmp_path):
    with place_in(tmp_path, method="random", pilot=0, batch=1.0, budget="40", quorum=2) as place:
        for who in ("ann", "bob"):
            sitting, swapped = place.sitting(who), []
            question = place.asked(sitting)
            while question:
                pair = question.task.pair
                assert question.responses == (
                    (pair.second.text, pair.first.text) if question.swapped else (pair.first.text, pair.second.text)
                )
                meant = pairs.CHOICE_SECOND if question.swapped else pairs.CHOICE_FIRST
                assert question.meant(pairs.CHOICE_FIRST) == meant
                assert question.meant(pairs.CHOICE_TIE) == pairs.CHOICE_TIE
                sitting.answer(question, pairs.CHOICE_TIE)
                swapped.append(question.swapped)
                question = sitting.next()
            sitting.leave()
            assert {True, False} == set(swapped)


def test_services_that_are_away_end_the_screen_and_not_in_a_trace():
    with rpc.channel("127.0.0.1:9") as channel:

        async def sit() -> Screen:
            app = Screen(Sitting(RunServiceStub(channel), TaskServiceStub(channel), "some-run", "ann"))
            async with app.run_test() as pilot:
                while app.failed is None:
                    await pilot.pause(0.05)
            return app

        away = asyncio.run(asyncio.wait_for(sit(), WAIT_S)).failed
        assert away.code() == grpc.StatusCode.UNAVAILABLE


def test_a_strangers_text_cannot_steer_the_screen():
    assert harmless("a\x1b[31mb\u202ec\n\t[red]é") == "a\ufffd[31mb\ufffdc\n\t[red]é"


def test_without_a_terminal_another_way_is_named(tmp_path):
    refused = concord(tmp_path, "annotate", "last")
    assert refused.returncode == 2 and "--annotators file:PATH" in refused.stderr


class Busy:
    """A task service at which others take the slot that a withdrawal has just freed."""

    def __init__(self, tasks: TaskServiceStub, run_id: str, others: list[str]) -> None:
        self._tasks, self._run_id, self._others = tasks, run_id, others

    def __getattr__(self, name: str):
        return getattr(self._tasks, name)

    def WithdrawAnnotation(self, request):
        answer = self._tasks.WithdrawAnnotation(request)
        for who in self._others:
            wanted = NextTasksRequest(annotator=who, run_id=self._run_id, most=1, task_ids=[request.task_id])
            assert self._tasks.NextTasks(wanted).tasks
        return answer


def test_an_answer_taken_back_whose_question_went_to_others_is_said_to_be_taken_back(tmp_path):
    with place_in(tmp_path, quorum=2, budget="24") as place:
        busy = Busy(place.tasks, place.job.run_id, ["bob", "cleo"])
        sitting = Sitting(place.runs, busy, place.job.run_id, "ann")
        sitting.answer(place.asked(sitting), pairs.CHOICE_TIE)
        sitting.hand_in()
        assert "taken back; somebody else" in sitting.undo()
        assert sitting.answered == 0 and "no answer" in sitting.undo()
