"""All words of the pages, so that they can be read in one place, or said in another language. Pure."""

from collections.abc import Mapping

LANGUAGE = "en"
NAME = "Concord"

# In an answer.
NOTHING = "(an empty answer)"
CALLS = "Calls"
GAVE = "What came back"
THOUGHT = "Reasoning"
TOOLS = "Tools that may be called"
ROLES: Mapping[str, str] = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}

# The annotator's page.
PAGE: Mapping[str, str] = {
    "title": "Which answer is better?",
    "skip_to": "To the answers",
    "conversation": "Conversation",
    "criteria": "What makes an answer better",
    "answer_1": "Answer 1",
    "answer_2": "Answer 2",
    "choose": "Your answer",
    "first": "1 is better",
    "second": "2 is better",
    "tie": "Equally good",
    "bad": "Both bad",
    "skip": "Skip",
    "undo": "Undo",
    "differences": "Differences",
    "help": "Help",
    "more": "Say more",
    "strength": "How much better",
    "slight": "slightly",
    "much": "much",
    "unsaid": "not said",
    "acceptable": "Good enough by itself?",
    "yes": "yes",
    "no": "no",
    "reason": "Why, in a few words",
    "harmful": "Marked as harmful: these texts may hurt. Whoever would rather not read them skips the question.",
    "all_keys": "Keys",
    "close": "Close",
    "noscript": "This page needs JavaScript: answers are kept in the browser until they have arrived.",
    "loading": "One moment …",
    "skip_why": "Why is this one skipped?",
}
KEYS: tuple[tuple[str, str], ...] = (
    ("1", "answer 1 is better"),
    ("2", "answer 2 is better"),
    ("0", "they are equally good"),
    ("B", "both are bad"),
    ("S", "skip, then the number of a reason"),
    ("U", "take the last answer back"),
    ("D", "fade what both answers say; hover over a sentence to see its counterpart"),
    ("-  +", "the next choice is slightly, or much better"),
    ("A  K", "answer 1, answer 2 by itself: good enough, not good enough, not said"),
    ("R", "write why; Esc leaves the field"),
    ("?", "this help"),
)
SKIPS: Mapping[str, str] = {
    "unclear": "I cannot tell which is better",
    "knowledge": "I know too little about this",
    "language": "I do not read this language",
    "broken": "The question or an answer is broken",
    "unpleasant": "I would rather not read this",
}
# The same in a table.
SKIPPED: Mapping[str, str] = {
    "unclear": "cannot tell",
    "knowledge": "too little known",
    "language": "another language",
    "broken": "broken",
    "unpleasant": "unpleasant",
}
# What the script says.
SCRIPT: Mapping[str, str] = {
    "kept": "No connection. Your answers are kept here and sent as soon as there is one.",
    "back": "Connected again; everything has arrived.",
    "closed": "You are no longer let in: {why} Answers that were not sent are kept in this browser.",
    "late": "That answer counts already: it cannot be taken back.",
    "nothing": "There is no answer to take back.",
    "undone": "Taken back; answer it anew.",
    "passed": "Taken back; somebody else has that question now.",
    "gone": "That question went to somebody else: {why}",
    "lease": "You held this question for too long; here is another one.",
    "held": "That was the last question for now. It is handed in in a moment; U takes it back.",
    "answered": "{n} answered",
    "left": "{n} left for you now",
    "pace": "{s} s each",
    "noted": "Noted.",
    "apart": "No sentence is said by both.",
    "strength_slight": "slightly better",
    "strength_much": "much better",
}
# While there is no question; of an annotator's concern alone.
STANDING: Mapping[str, str] = {
    "finished": "All done: this run needs no more answers. Thank you.",
    "cancelled": "This run was ended. Thank you for your answers.",
    "corrupt": "This run cannot go on at the moment. Your answers are kept.",
    "paused": "This run is paused. Your answers are kept; the next questions come when it goes on.",
    "others": "Nothing left for you in this round; the rest is for others.",
    "works": "The next questions are being chosen. They appear here by themselves.",
    "aside": "This run has no more questions for you. Thank you for your answers.",
    "full": "You have answered as many questions as one person may. Thank you.",
}

# What workers gave up, on the operators' pages.
LETTERS: Mapping[str, str] = {
    "head": "Dead letters",
    "look": "What failed, and why",
    "what": "A worker that fails at an item again and again gives it up: the item lies here, and nothing is lost. "
    "Look for the cause in the error first; then put the items back.",
    "none": "Nothing of this run was given up.",
    "if_back": "If put back:",
    "all_back": "All of them were put back, or would change nothing any more.",
    "back_what": "Tried anew with the other failed units of their stage; a run that paused over them goes on.",
    "why": "Why: what was mended",
    "back": "Put back",
    "item": "item",
    "times": "Times are UTC.",
    "older": "older one is left off.",
    "olders": "older ones are left off.",
}
NOTHING_BACK = "nothing that was given up would change the run any more; load the page anew"

# Coming in.
DENIED = "You cannot open this"
ASK = "Ask whoever sent you here for a link."
LOST = "There is nothing here"
CUT = "The address may have been cut. Open the link that you were given once more"
AWAY = "The services do not answer at the moment. Nothing is lost; try again in a moment."
FAILED = "Something went wrong here. It is noted; try again."
TOO_OFTEN = "Too many requests at once. Wait a second and try again."
