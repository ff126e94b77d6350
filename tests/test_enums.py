"""The protos' enumerations in words."""

import pytest

from concord.kit.enums import short, word
from concord.v1.events_pb2 import PauseReason, Stage
from concord.v1.runs_service_pb2 import RunStatus


def test_a_value_goes_by_its_name_without_that_of_its_kind():
    assert short(Stage, Stage.STAGE_PILOT_LABEL) == "PILOT_LABEL"
    assert word(RunStatus, RunStatus.RUN_STATUS_PAUSED) == "paused"
    assert word(PauseReason, PauseReason.PAUSE_REASON_SILENT_JUDGE) == "silent_judge"


def test_equal_numbers_of_different_kinds_are_different_words():
    assert (word(RunStatus, 1), word(Stage, 1)) == ("created", "generate")


def test_a_number_that_no_value_has_is_refused():
    with pytest.raises(ValueError, match="999"):
        short(Stage, 999)
