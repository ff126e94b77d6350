"""Who may do what in the bucket, one key for each service: prints the bucket's policy.

    python -m deploy.s3.policies BUCKET [--prefix PREFIX] [--amazon ACCOUNT] > policy.json
    aws s3api put-bucket-policy --bucket BUCKET --policy file://policy.json

Services read, put and list below the prefix; nobody of them deletes, and what they put is never overwritten, for they ask with
`If-None-Match`. `keeper` is for `concord erase`, `backup` and `restore`. Principals are access keys of users `concord-SERVICE` as
VersityGW and MinIO know them; `--amazon`: roles of that account by the same names.
"""

import argparse
import json
from collections.abc import Mapping

READ, WRITE, DELETE, LIST = "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"
# `tasks` shows texts and writes none; `console` asks `runs` for whatever it shows, and has no key.
RIGHTS: Mapping[str, tuple[str, ...]] = {
    "runs": (READ, WRITE),
    "tasks": (READ, WRITE),
    "labeling": (READ, WRITE),
    "scoring": (READ, WRITE),
    "triage": (READ, WRITE),
    "training": (READ, WRITE),
    "keeper": (READ, WRITE, DELETE),
}


def user(service: str) -> str:
    """The name of a service's key."""
    return f"concord-{service}"


def policy(bucket: str, prefix: str = "", amazon: str = "") -> dict[str, object]:
    """The bucket's policy, as S3 takes it; `prefix` without a slash at its end, `amazon` an account's number."""
    below = f"arn:aws:s3:::{bucket}/{prefix}/*" if prefix else f"arn:aws:s3:::{bucket}/*"

    def principal(names: list[str]) -> dict[str, list[str]]:
        return {"AWS": [f"arn:aws:iam::{amazon}:role/{user(name)}" if amazon else user(name) for name in names]}

    by_rights: dict[tuple[str, ...], list[str]] = {}
    for service, rights in RIGHTS.items():
        by_rights.setdefault(rights, []).append(service)
    statements: list[dict[str, object]] = [
        {"Effect": "Allow", "Principal": principal(names), "Action": list(rights), "Resource": [below]}
        for rights, names in by_rights.items()
    ]
    # Without it an object that is not there is a refusal and not a NotFound.
    listing: dict[str, object] = {
        "Effect": "Allow",
        "Principal": principal(list(RIGHTS)),
        "Action": [LIST],
        "Resource": [f"arn:aws:s3:::{bucket}"],
    }
    return {"Version": "2012-10-17", "Statement": [*statements, listing]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bucket")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--amazon", metavar="ACCOUNT", default="")
    asked = parser.parse_args()
    print(json.dumps(policy(asked.bucket, asked.prefix.strip("/"), asked.amazon), indent=2))


if __name__ == "__main__":
    main()
