"""Where blobs in a bucket are. Pure.

`s3://BUCKET/PREFIX?endpoint_url=…&region=…` or `gs://BUCKET/PREFIX?endpoint_url=…&keys=no`.
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from concord.kit.errors import InvalidInput
from concord.kit.urls import without_secrets

# Of each kind of store: what its URL may say, and where its keys come from.
OPTIONS = {"s3": ("endpoint_url", "region"), "gs": ("endpoint_url", "keys")}
KEYS = {"s3": "AWS_ACCESS_KEY_ID and its like", "gs": "GOOGLE_APPLICATION_CREDENTIALS or the machine's role"}


@dataclass(frozen=True)
class Place:
    """Where the blobs are."""

    scheme: str  # s3, gs
    bucket: str
    prefix: str  # "" or ends with a slash
    endpoint_url: str | None = None
    region: str | None = None
    is_open: bool = False  # asked without keys

    @property
    def shown(self) -> str:
        at = f" at {without_secrets(self.endpoint_url)}" if self.endpoint_url else ""
        return f"{self.scheme}://{self.bucket}/{self.prefix}{at}"

    def of(self, path: str) -> str:
        """One object's address, to be shown; `path` begins with the bucket."""
        return f"{self.scheme}://{path}"


def parse(url: str, scheme: str) -> Place:
    """The place in an URL of this scheme. Raises InvalidInput that names the part which is wrong."""
    split = urlsplit(url)
    shown = without_secrets(url)
    if split.scheme != scheme or not split.netloc or "@" in split.netloc or ":" in split.netloc:
        options = "&".join(f"{name}={name.partition('_')[2].upper() or 'WORD'}" for name in OPTIONS[scheme])
        raise InvalidInput(
            f"CONCORD_BLOB_URL={shown!r}: {scheme}://BUCKET[/PREFIX][?{options}] is expected; keys come from {KEYS[scheme]}"
        )
    given = dict(parse_qsl(split.query, keep_blank_values=True))
    for name in given:
        if name not in OPTIONS[scheme]:
            raise InvalidInput(
                f"CONCORD_BLOB_URL={shown!r}: there is no option {name!r}; there are {', '.join(OPTIONS[scheme])}"
            )
    endpoint = given.get("endpoint_url")
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise InvalidInput(f"CONCORD_BLOB_URL={shown!r}: endpoint_url must begin with http:// or https://")
    if given.get("keys", "no") != "no":
        raise InvalidInput(f"CONCORD_BLOB_URL={shown!r}: keys may be `no`, for a store that asks for none")
    prefix = split.path.strip("/")
    keyless = given.get("keys") == "no"
    return Place(scheme, split.netloc, f"{prefix}/" if prefix else "", endpoint, given.get("region"), keyless)
