"""What is known of a stage wherever it is named. Pure."""

from concord.v1.events_pb2 import Stage

# Stages in which people are asked.
HUMAN = (Stage.STAGE_PILOT_ANNOTATE, Stage.STAGE_ANNOTATE)
