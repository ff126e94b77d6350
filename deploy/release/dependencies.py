"""What Concord brings with it, by what is installed here: every distribution that its extras lead to, with its licence."""

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What the images and `pip install concord-preference[…]` may bring; torch's are a choice of their own.
EXTRAS = ("kafka", "postgres", "s3", "gcs", "data", "web", "verify", "tracing")

# What may be shipped beside Apache-2.0 and used as a library. MPL and LGPL: unchanged, as wheels of their own.
ALLOWED = frozenset(
    {
        *(
            "Apache-2.0",
            "MIT",
            "MIT-0",
            "MIT-CMU",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "0BSD",
            "ISC",
            "Zlib",
            "CC0-1.0",
            "PSF-2.0",
            "Unlicense",
        ),
        *("MPL-2.0", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later"),
    }
)
# What projects write that say it in words of their own.
WORDS = {
    "mit license": "MIT",
    "the mit license": "MIT",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "python software foundation license": "PSF-2.0",
    "isc license (iscl)": "ISC",
    "isc license": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.1-or-later",
    "the unlicense (unlicense)": "Unlicense",
}


@dataclass(frozen=True)
class Dependency:
    """One distribution; `licence` is an SPDX expression, or the words that it was found under."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]


def dependencies(root: str = "concord-preference", extras: tuple[str, ...] = EXTRAS) -> list[Dependency]:
    """Everything that `root[extras]` leads to here, itself left out, by name. Raises LookupError for what is not installed."""
    found: dict[str, Distribution] = {}
    needs: dict[str, set[str]] = {}
    waiting, seen = [(canonicalize_name(root), frozenset(extras))], set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise LookupError(f"{name} is not installed here: pip install -e '.[dev]'") from None
        led = [(canonicalize_name(one.name), frozenset(one.extras)) for one in _required(found[name], wanted)]
        needs.setdefault(name, set()).update(other for other, _ in led)
        waiting += led
    own = canonicalize_name(root)
    return [
        Dependency(name, there.version, licence(there), tuple(sorted(needs[name])))
        for name, there in sorted(found.items())
        if name != own
    ]


def _required(there: Distribution, extras: frozenset[str]) -> list[Requirement]:
    asked = [Requirement(text) for text in there.requires or ()]
    return [
        one
        for one in asked
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in {"", *extras})
    ]


def licence(there: Distribution) -> str:
    """The expression that the distribution declares; else what its classifiers or its short word for it come to."""
    about = there.metadata
    if expression := about.get("License-Expression"):
        return expression
    classifiers = [
        one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or () if one.startswith("License ::")
    ]
    word = (about.get("License") or "").strip()
    if word and "\n" not in word and len(word) < 60 and known(_spdx(word)):
        return _spdx(word)
    return " OR ".join(_spdx(one) for one in classifiers) or word.partition("\n")[0] or "unknown"


def _spdx(word: str) -> str:
    return WORDS.get(word.lower(), word)


def known(expression: str) -> bool:
    """Whether everything that the expression asks for is allowed; of alternatives one is enough."""
    alternatives = re.split(r"\s+OR\s+", expression.strip("() "))
    return any(all(one.strip("() ") in ALLOWED for one in re.split(r"\s+AND\s+", each)) for each in alternatives)
