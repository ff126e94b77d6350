"""Who may do what on Kafka, one user for each service: prints it for Strimzi or for Kafka's own tool.

    python -m deploy.kafka.rights strimzi > users.yaml
    python -m deploy.kafka.rights commands --bootstrap kafka:9092 --prefix team-a.

A service looks at every topic that it uses and makes none: nobody gets Create. Make the topics before, as
k8s/examples/strimzi/topics.yaml does.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from concord.kit.log.topics import DEAD_LETTERS, FACTS, LABEL, SCORE, TRAIN, TRIAGE, Topic

WORK = (LABEL, SCORE, TRIAGE, TRAIN)


@dataclass(frozen=True)
class Rights:
    """What one service reads, in a group of its name, and what it appends to."""

    reads: tuple[Topic, ...]
    writes: tuple[Topic, ...]
    # What it looks through without a group: which work still waits for the group that does it, what was given up.
    looks: tuple[Topic, ...] = ()


RIGHTS: Mapping[str, Rights] = {
    "runs": Rights((FACTS,), (FACTS, *WORK, DEAD_LETTERS), looks=(*WORK, DEAD_LETTERS)),
    "tasks": Rights((FACTS,), (FACTS,)),
    "labeling": Rights((LABEL,), (FACTS, DEAD_LETTERS)),
    "scoring": Rights((SCORE,), (FACTS, DEAD_LETTERS)),
    "triage": Rights((TRIAGE,), (FACTS, DEAD_LETTERS)),
    "training": Rights((TRAIN,), (FACTS, DEAD_LETTERS)),
}


def topics(service: str) -> dict[str, list[str]]:
    """Topic → the operations on it. Facts are looked at by everybody: by their topic a log is known."""
    rights = RIGHTS[service]
    found: dict[str, list[str]] = {}
    for topic in dict.fromkeys((FACTS, *rights.reads, *rights.writes)):
        reads, writes = topic in (*rights.reads, *rights.looks), topic in rights.writes
        looks = ["Describe", "DescribeConfigs"]
        found[topic.name] = [*looks, *(["Read"] if reads else []), *(["Write"] if writes else [])]
    return found


def groups(service: str) -> dict[str, list[str]]:
    """Group → the operations on it: its own, and those whose positions it looks at."""
    return {service: ["Describe", "Read"]} | {
        topic.group: ["Describe"] for topic in RIGHTS[service].looks if topic.group
    }


def strimzi(prefix: str = "", cluster: str = "kafka", namespace: str = "kafka") -> str:
    """A KafkaUser for each service, as YAML."""
    users = []
    for service in RIGHTS:
        acls = [
            {"resource": {"type": "topic", "name": prefix + name, "patternType": "literal"}, "operations": operations}
            for name, operations in topics(service).items()
        ]
        acls += [
            {"resource": {"type": "group", "name": prefix + name, "patternType": "literal"}, "operations": operations}
            for name, operations in groups(service).items()
        ]
        users.append(
            {
                "apiVersion": "kafka.strimzi.io/v1",
                "kind": "KafkaUser",
                "metadata": {
                    "name": f"concord-{service}",
                    "namespace": namespace,
                    "labels": {"strimzi.io/cluster": cluster},
                },
                "spec": {
                    "authentication": {"type": "tls"},
                    "authorization": {"type": "simple", "acls": acls},
                },
            }
        )
    return yaml.safe_dump_all(users, sort_keys=False)


def commands(prefix: str = "", bootstrap: str = "kafka:9092") -> str:
    """The same as commands of Kafka's own tool; a user is the common name of a certificate, or a SCRAM user."""
    lines = []
    for service in RIGHTS:
        tool = f"kafka-acls.sh --bootstrap-server {bootstrap} --add --allow-principal User:concord-{service}"
        for name, operations in topics(service).items():
            asked = " ".join(f"--operation {operation}" for operation in operations)
            lines.append(f"{tool} {asked} --topic {prefix}{name}")
        for name, operations in groups(service).items():
            asked = " ".join(f"--operation {operation}" for operation in operations)
            lines.append(f"{tool} {asked} --group {prefix}{name}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("form", choices=("strimzi", "commands"))
    parser.add_argument("--prefix", default="", help="what ?prefix= of CONCORD_LOG_URL says")
    parser.add_argument("--bootstrap", default="kafka:9092", help="a broker, for the commands")
    given = parser.parse_args()
    print(
        strimzi(given.prefix) if given.form == "strimzi" else commands(given.prefix, given.bootstrap),
        end="",
    )


if __name__ == "__main__":
    main()
