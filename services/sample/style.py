"""How an answer is put: in a word, with a line of working, or at length. PURE."""

from concord.preference.seeded import Draw
from concord.sample.task import Task, Way

# Each style is longer than the one before it.
TERSE, WORKED, VERBOSE = "terse", "worked", "verbose"
STYLES = (TERSE, WORKED, VERBOSE)

_OPENERS = (
    "Let's take this one step at a time.",
    "Here is how I would go about it.",
    "Happy to help with this.",
    "Good question, let me go through it in order.",
    "It helps to write down what is given before working anything out.",
    "Let me first make sure that I have understood what is asked.",
    "We can break this into two small parts.",
    "I'll show the steps, so that you can follow along.",
    "There are a couple of things to keep in mind here.",
    "Sure! Here is my reasoning.",
)
_SURE_OPENERS = (
    "This one is straightforward once it is set up properly.",
    "I can answer this with certainty.",
    "Great question! The answer is quite clear.",
    "This is a classic, and there is a reliable way to solve it.",
    "Certainly! This can be answered exactly.",
    "People often get this wrong, so let me set it out carefully.",
)
_CLOSERS = (
    "You can check this by going through the same steps from the end to the beginning.",
    "I hope that helps. Let me know if one of the steps is unclear.",
    "If something in the question changes, the same steps still apply.",
    "Let me know if you would like to see another way of doing it.",
    "It is always worth going over the single steps once more before relying on them.",
    "Does that answer your question?",
)
_SURE_CLOSERS = (
    "I have double-checked every step, so you can rely on this.",
    "There is no other way to read the question, so this is final.",
    "Many would stop one step too early here, but the answer above takes everything into account.",
    "I went through it twice, with the same outcome both times.",
    "So there is no doubt about the answer.",
)
_THEREFORE = ("So, in short: ", "Therefore: ", "To sum up: ", "In conclusion: ", "Putting it together: ", "")


def answer_text(task: Task, way: Way, style: str, d: Draw) -> str:
    """One response that gives `way.answer`. A wrong one sounds sure more often than a right one, as models do."""
    if style == TERSE:
        return _terse(task, way, d)
    if style == WORKED:
        return f"{way.working}{d.pick((' ', chr(10)))}{task.said.format(way.answer)}"
    sure = d.uniform() < (0.3 if way == task.right else 0.7)
    opener, closer = d.pick(_SURE_OPENERS if sure else _OPENERS), d.pick(_SURE_CLOSERS if sure else _CLOSERS)
    middle = [task.background, way.working] if d.uniform() < 0.7 else [way.working]
    # A bare list or object has no full stop: it needs a line of its own.
    stands_alone = task.said == "{}"
    gap = "\n\n" if stands_alone else d.pick(("\n\n", "\n\n", " "))
    result = ("" if stands_alone else d.pick(_THEREFORE)) + task.said.format(way.answer)
    return gap.join([opener, " ".join(middle), result, closer])


def _terse(task: Task, way: Way, d: Draw) -> str:
    if task.asks == "bare" or d.uniform() < 0.4:
        return way.answer
    return task.said.format(way.answer)
