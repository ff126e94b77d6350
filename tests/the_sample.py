"""The bundled sample, made once for all tests of a process: it takes two seconds and is always the same."""

from functools import cache

from concord import sample
from concord.client.intake import intake

# Takes the place of what makes it anew.
given = cache(intake.read_sample)
jsonl = cache(sample.jsonl)
