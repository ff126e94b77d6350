"""Where blobs on S3 are: `s3://BUCKET/PREFIX?endpoint_url=…&region=…`. Pure."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from concord.kit.errors import InvalidInput
from concord.kit.urls import without_secrets

OPTIONS = ("endpoint_url", "region")
FORM = "s3://BUCKET[/PREFIX][?endpoint_url=URL&region=NAME] is expected"


@dataclass(frozen=True)
class Place:
    """Where the blobs are."""

    bucket: str
    prefix: str  # "" or ends with a slash
    endpoint_url: str | None
    region: str | None

    @property
    def shown(self) -> str:
        at = f" at {without_secrets(self.endpoint_url)}" if self.endpoint_url else ""
        return f"s3://{self.bucket}/{self.prefix}{at}"


def parse(url: str) -> Place:
    """The place in an `s3://` URL. Raises InvalidInput that names the part which is wrong."""
    split = urlsplit(url)
    shown = without_secrets(url)
    if split.scheme != "s3" or not split.netloc or "@" in split.netloc or ":" in split.netloc:
        raise InvalidInput(f"CONCORD_BLOB_URL={shown!r}: {FORM}; keys come from AWS_ACCESS_KEY_ID and its like")
    given = dict(parse_qsl(split.query, keep_blank_values=True))
    for name in given:
        if name not in OPTIONS:
            raise InvalidInput(
                f"CONCORD_BLOB_URL={shown!r}: there is no option {name!r}; there are {', '.join(OPTIONS)}"
            )
    endpoint = given.get("endpoint_url")
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise InvalidInput(f"CONCORD_BLOB_URL={shown!r}: endpoint_url must begin with http:// or https://")
    prefix = split.path.strip("/")
    return Place(split.netloc, f"{prefix}/" if prefix else "", endpoint, given.get("region"))
