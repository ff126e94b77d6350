"""Makes Concord's topics on Kafka where they are missing, and refuses those that would not keep its promises."""

from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import TopicAlreadyExistsError, for_code

from concord.kit.errors import InvalidInput, NotFound
from concord.kit.log.kafka.settings import KafkaSettings
from concord.kit.log.topics import FACTS, Topic
from concord.kit.plural import many

UNKNOWN_TOPIC = 3
# Concord's own limit, below Kafka's 1,048,588 bytes with their framing.
MAX_RECORD_BYTES = 1_000_000


def ready(admin: KafkaAdminClient, settings: KafkaSettings, topic: Topic) -> str:
    """Sees to it that the topic is there as it must be; returns Kafka's own id of it, empty where it has none.

    Raises InvalidInput with the command that mends a topic which exists otherwise.
    """
    name = settings.prefix + topic.name
    described = _describe(admin, name)
    if described is None:
        try:
            admin.create_topics({name: _wanted(settings, topic)}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            # Another service was quicker.
            admin.wait_for_topics([name])
        described = _describe(admin, name)
    assert described is not None
    _check_partitions(settings, topic, name, len(described["partitions"]))
    if topic == FACTS:
        _check_facts(admin, settings, name)
    return _id_of(described)


def found(admin: KafkaAdminClient, settings: KafkaSettings, topic: Topic) -> str:
    """As `ready`, for who only reads: makes nothing, and asks for no right but to look at the topic and read it.

    Raises NotFound where the topic is missing.
    """
    name = settings.prefix + topic.name
    described = _describe(admin, name)
    if described is None:
        raise NotFound(
            f"Kafka at {settings.where} has no topic {name}; is this the right cluster, and ?prefix=… as it should be?"
        )
    _check_partitions(settings, topic, name, len(described["partitions"]))
    return _id_of(described)


def _id_of(described: dict[str, Any]) -> str:
    number = str(described.get("topic_id") or "")
    return "" if not number.strip("0-") else number


def settings_of(topic: Topic, replication: int = 1) -> dict[str, str]:
    """The topic's own configuration in Kafka's words."""
    return {
        # The broker stamps each record, so a time means the same to every reader.
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(-1 if topic.retention_s is None else topic.retention_s * 1000),
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
        "min.insync.replicas": "2" if replication >= 3 else "1",
    }


def _wanted(settings: KafkaSettings, topic: Topic) -> dict[str, Any]:
    configs = settings_of(topic, settings.replication)
    return {"num_partitions": topic.partitions, "replication_factor": settings.replication, "configs": configs}


def _describe(admin: KafkaAdminClient, name: str) -> dict[str, Any] | None:
    (described,) = admin.describe_topics([name])
    code = described["error_code"]
    if code not in (0, UNKNOWN_TOPIC):
        # Such as a topic that one may not even look at; it would else seem to have no partitions.
        raise for_code(code)(f"topic {name}")
    return None if code == UNKNOWN_TOPIC else described


def _check_partitions(settings: KafkaSettings, topic: Topic, name: str, there: int) -> None:
    """Facts: exactly as many, or a run's facts would lie in two partitions. Work: at least as many."""
    command = f"kafka-topics.sh --bootstrap-server {settings.where} --topic {name}"
    if there < topic.partitions:
        raise InvalidInput(
            f"the Kafka topic {name} has {many(there, 'partition')} and needs {topic.partitions}. "
            + ("If it is still empty: " if topic == FACTS else "")
            + f"`{command} --alter --partitions {topic.partitions}`"
        )
    if topic == FACTS and there > topic.partitions:
        raise InvalidInput(
            f"the Kafka topic {name} has {many(there, 'partition')} and must have {topic.partitions}: a run's partition follows "
            f"from that number. If it is still empty: `{command} --delete`, and Concord makes it anew. Else keep it, "
            "and give Concord topics of its own by ?prefix=NAME. in CONCORD_LOG_URL"
        )


def _check_facts(admin: KafkaAdminClient, settings: KafkaSettings, name: str) -> None:
    """Facts are kept for ever and stamped by the log: anything else would lose them, or make replay depend on clocks."""
    described = admin.describe_configs([ConfigResource("TOPIC", name)], config_filter="all")["topic"][name]
    wanted = settings_of(FACTS)
    del wanted["min.insync.replicas"]
    wrong = {key: value for key, value in wanted.items() if described[key]["value"] != value}
    if wrong:
        is_now = ", ".join(f"{key}={described[key]['value']}" for key in wrong)
        raise InvalidInput(
            f"the Kafka topic {name} has {is_now}, which does not keep facts as Concord needs them; mend it by "
            f"`kafka-configs.sh --bootstrap-server {settings.where} --alter --entity-type topics --entity-name {name} "
            f"--add-config {','.join(f'{key}={value}' for key, value in wrong.items())}`"
        )
