"""A way round a fault of kafka-python (3.0.12): a join that ends between two polls is forgotten.

A poll that runs out of time leaves its JoinGroup under way. If that ends before the next poll, its outcome is dropped:
the member joins again, and with it the whole group (which with short polls may never settle); or, where the join came
from news about the topic, the member does not join again at all, owns nothing and sends no heartbeat. Java's client
keeps the outcome. There is no public handle on any of this, so here, and only here, private names are used;
`tests/test_kafka_log.py` fails when they move or when groups do not settle.
"""

from kafka import KafkaConsumer
from kafka.coordinator.base import MemberState


def keep_join(consumer: KafkaConsumer) -> None:
    """To be called before each `consumer.poll`: takes up the outcome of a join that ended since the last one."""
    coordinator = consumer._coordinator
    if coordinator.state is not MemberState.REBALANCING:
        return
    task = coordinator._join_task
    if task is not None and task.is_done and task.succeeded():
        coordinator._join_task = None
        coordinator._net.run(_take_up, coordinator, task.value)
    else:
        # Else the poll would not wait for it.
        coordinator.request_rejoin()


def has_joined(consumer: KafkaConsumer) -> bool:
    """Whether the group has taken the member in; one that has nothing to do hears of it by no other way."""
    return consumer._coordinator.state is MemberState.STABLE


async def _take_up(coordinator, assignment: bytes) -> None:
    """What the client's own join does with its outcome."""
    with coordinator._lock:
        coordinator.rejoining = False
        coordinator.rejoin_needed = False
        coordinator.state = MemberState.STABLE
        coordinator._enable_heartbeat()
    generation = coordinator._generation
    await coordinator._on_join_complete_async(
        generation.generation_id, generation.member_id, generation.protocol, assignment
    )
