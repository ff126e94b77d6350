"""A run's dataset in the forms that trainers read. Pure.

| format | what | source |
| --- | --- | --- |
| `trl` | explicit prompt preference, standard: three texts, a line break between | TRL, Dataset formats and types |
| `trl-conversational` | the same as lists of messages | TRL, Dataset formats and types |
| `nemo` | `context` and two ranked `completions` | NeMo RL, guides/dpo, PreferenceDataset |
| `axolotl` | `messages` and one message each as `chosen` and `rejected` | axolotl, RLHF, DPO `chat_template.default` |
| `llama-factory` | `conversations`, `chosen`, `rejected`, `system`, `tools` | LLaMA-Factory, data/README, sharegpt, ranking |
| `parquet`, `hf` | `trl-conversational` with more columns | TRL; the hub's layout |

Every row also carries `pair_id`, `p_chosen`, `weight` and `source`, which these trainers leave alone. A tie has nothing
chosen and nothing rejected, and a row of weight 0 was decided by the order of its answers alone: both are left out and
counted. So is a row that is marked as harmful, unless it is asked for. So is, from lists of messages, a row without a prompt.

Where the input has more than texts (tool calls, reasoning, tools), messages carry it as it came, and forms of text have it
written out; where a form's own columns do not say all of a row, `original` holds the rest as JSON, so that it can be read back.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from concord.certificate.certificate import RowsHash

Row = Mapping[str, Any]
_NAMES = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}
# What only some rows have, and what it is in the others.
_EMPTY: Mapping[str, Any] = {"tools": [], "original": "", "harmful": False}
_FROM = {"user": "human", "assistant": "gpt", "tool": "observation"}


@dataclass
class Exported:
    """What one export holds, and what is not in it; counted while its rows go by."""

    by_source: Counter[str] = field(default_factory=Counter)
    ties: int = 0
    coin_flips: int = 0  # the judge's verdict changes with the order, and nobody else decided
    harmful: int = 0  # marked as harmful, and not asked for
    without_prompt: int = 0  # left out because the format needs a message to answer
    transcripts: int = 0  # prompts of several messages that were written as one text
    kept: list[int] = field(default_factory=list)  # the pair indexes of its rows
    hashed: RowsHash = field(default_factory=RowsHash)  # of its rows

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.by_source.total()

    @property
    def sources(self) -> Mapping[str, int]:
        """Rows by whom their label comes from, the most frequent first."""
        return dict(self.by_source.most_common())

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in words."""
        said = (
            (self.ties, "ties, in which nothing is chosen, are left out"),
            (
                self.coin_flips,
                "rows on which the judge's verdict follows the order of the answers, a coin flip, are left out",
            ),
            (self.harmful, "rows that are marked as harmful are left out (--harmful takes them in)"),
            (self.without_prompt, "rows without a prompt, for which this format has no place, are left out"),
            (
                self.transcripts,
                "prompts of several messages are written as one text (trl-conversational keeps the messages)",
            ),
        )
        return tuple(f"{words}: {count:,}" for count, words in said if count)


def exported(rows: Iterable[Row], format_: str, account: Exported, harmful: bool = False) -> Iterator[dict[str, Any]]:
    """The rows of a dataset in this format, one by one, counted in `account`; KeyError for a format not in FORMATS.

    `harmful`: those too that are marked as harmful.
    """
    convert = FORMATS[format_]
    for row in rows:
        if row["label"] == "tie":
            account.ties += 1
        elif not row["weight"]:
            account.coin_flips += 1
        elif row.get("harmful") and not harmful:
            account.harmful += 1
        elif convert is not trl and not row["prompt"]:
            account.without_prompt += 1
        else:
            account.transcripts += convert is trl and _is_transcript(row["prompt"])
            account.by_source[row["source"]] += 1
            account.kept.append(row["index"])
            account.hashed.take(row["pair_sha256"], row["label"], row["source"])
            yield convert(row)


def uniform(
    rows: Callable[[], Iterator[Row]], format_: str, account: Exported, harmful: bool = False
) -> Iterator[dict[str, Any]]:
    """As `exported`, every row with the same columns: whoever loads JSON Lines takes the first rows' columns for all.

    `rows` gives the dataset's rows, and is asked twice.
    """
    some = {key for made in exported(rows(), format_, Exported(), harmful) for key in made if key in _EMPTY}
    for made in exported(rows(), format_, account, harmful):
        yield made | {key: _EMPTY[key] for key in _EMPTY if key in some and key not in made}


def trl(row: Row) -> dict[str, Any]:
    """`prompt`, `chosen` and `rejected` as texts. A prompt that is no single user message becomes a transcript."""
    answers = (row["chosen"], row["rejected"])
    prompt = prompt_text(row["prompt"])
    # TRL puts nothing between the two: without a break the question's last word and the answer's first run together, and
    # where a tokenizer merges them the trainer cuts the prompt's end off. The usual ones do not merge across a single line break.
    apart = not prompt or prompt[-1].isspace() or all(answer[:1].isspace() for answer in answers)
    said = {"prompt": prompt if apart else prompt + "\n", "chosen": answers[0], "rejected": answers[1]}
    # Read back, a line break at the end is taken for the one above.
    whole = not _is_transcript(row["prompt"]) and not prompt.endswith("\n") and "original" not in row
    return {**said, **_carried(row), **({} if whole else {"original": _original(row)})}


def conversational(row: Row) -> dict[str, Any]:
    """`prompt`, `chosen` and `rejected` as lists of messages; an answer is mostly one message of the assistant."""
    held = _held(row)
    tools = {"tools": held["tools"]} if held["tools"] else {}
    return {key: held[key] for key in ("prompt", "chosen", "rejected")} | tools | _carried(row)


def nemo(row: Row) -> dict[str, Any]:
    """`context` and `completions`, of which the one with the lower rank is preferred."""
    held = _held(row)
    completions = [{"rank": rank, "completion": held[key]} for rank, key in enumerate(("chosen", "rejected"))]
    tools = {"tools": held["tools"]} if held["tools"] else {}
    return {"context": held["prompt"], "completions": completions, **tools, **_carried(row)}


def axolotl(row: Row) -> dict[str, Any]:
    """`messages`, then one message each; an answer of several messages is written as one text."""
    said = {"messages": list(row["prompt"]), "chosen": _said(row["chosen"])[0], "rejected": _said(row["rejected"])[0]}
    return said | _carried(row) | ({"original": _original(row)} if "original" in row else {})


def llama_factory(row: Row) -> dict[str, Any]:
    """`conversations` in the sharegpt form, the system's text and the tools apart; an answer of several messages is written as
    one text."""
    tools = _held(row)["tools"]
    # The tools have a column here; the message that shows them to the judge stands first.
    prompt = row["prompt"][1:] if tools else row["prompt"]
    system = [turn["content"] for turn in prompt[:1] if turn["role"] == "system"]
    turns = prompt[len(system) :]
    said = {
        "conversations": [{"from": _FROM.get(turn["role"], turn["role"]), "value": turn["content"]} for turn in turns],
        "chosen": {"from": "gpt", "value": row["chosen"]},
        "rejected": {"from": "gpt", "value": row["rejected"]},
        "system": "".join(system),
        "tools": json.dumps(tools, ensure_ascii=False) if tools else "",
    }
    return said | _carried(row) | ({"original": _original(row)} if "original" in row else {})


def table_row(row: Row) -> dict[str, Any]:
    """As `conversational`, with what the judge said and the hash by which the pair is known.

    A table's messages have one form for all rows, so that what is more than role and content stands in `original`.
    """
    agrees = None if row["judge_label"] is None else row["judge_label"] == row["label"]
    more = {"judge_agrees": agrees, "judge_confidence": row["judge_confidence"], "pair_sha256": row["pair_sha256"]}
    plain = conversational({key: held for key, held in row.items() if key != "original"})
    marked = {"harmful": bool(row.get("harmful"))}
    return {**plain, **more, "original": _original(row) if "original" in row else None, **marked}


def prompt_text(prompt: Sequence[Mapping[str, str]]) -> str:
    """The messages as one text: a single user message as it is, more as a transcript that the assistant is to go on."""
    if not _is_transcript(prompt):
        return prompt[0]["content"] if prompt else ""
    turns = [f"{_NAMES.get(turn['role'], turn['role'])}: {turn['content']}" for turn in prompt]
    return "\n\n".join([*turns, "Assistant:"])


def _held(row: Row) -> dict[str, Any]:
    """The row's messages and tools, as the input had them."""
    if "original" not in row:
        return {
            "prompt": list(row["prompt"]),
            "chosen": _said(row["chosen"]),
            "rejected": _said(row["rejected"]),
            "tools": [],
        }
    held, turned = row["original"], row["label"] == "second"
    chosen, rejected = ("second", "first") if turned else ("first", "second")
    return {"prompt": held["prompt"], "chosen": held[chosen], "rejected": held[rejected], "tools": held["tools"]}


def _original(row: Row) -> str:
    return json.dumps(_held(row), ensure_ascii=False)


def _is_transcript(prompt: Sequence[Mapping[str, str]]) -> bool:
    return bool(prompt) and (len(prompt) > 1 or prompt[0]["role"] != "user")


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _carried(row: Row) -> dict[str, Any]:
    marked = {"harmful": True} if row.get("harmful") else {}
    return {key: row[key] for key in ("pair_id", "p_chosen", "weight", "source")} | marked


FORMATS: Mapping[str, Callable[[Row], dict[str, Any]]] = {
    "trl": trl,
    "trl-conversational": conversational,
    "nemo": nemo,
    "axolotl": axolotl,
    "llama-factory": llama_factory,
    "parquet": table_row,
    "hf": table_row,
}
