"""How fast facts become durable and are read back, beside the nearest thing that does the same.

    python -m benchmarks.log [--kafka kafka://HOST:PORT] [--data DIR] [--quick] [--json [FILE]]

On SQLite beside pyeventsourcing: its own way (events of an aggregate, saved 500 at a time) and its bare recorder (rows
that are ready). On Kafka beside bare kafka-python with the same settings. Every append is durable when it is counted:
SQLite with synchronous=FULL, Kafka with acks=all after each batch. A broker: `python -m deploy.local.broker --port 9092 DIR`.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.log_sqlite import BATCH, PAYLOAD_BYTES, READ, Sqlite
from benchmarks.measure import asked_of, circumstances, interleaved, parser_of, ratio, show, spread, write


def compare(title: str, measures: dict[str, Callable[[], float]], repeats: int, wanted: dict[str, float]) -> dict:
    """Facts a second of each; the first is ours, and is divided by each other one. `wanted`: lowest good ratios."""
    found = interleaved(measures, repeats)
    ours, *others = measures
    ratios = {other: ratio(found[ours], found[other]) for other in others}
    show(title, {name: spread(values) for name, values in found.items()}, "facts/s")
    show("  ours divided by", ratios, "times")
    return {
        "facts_per_second": {name: spread(values) for name, values in found.items()},
        "ours_divided_by": {
            name: row | ({"wanted": wanted[name], "met": row["median"] >= wanted[name]} if name in wanted else {})
            for name, row in ratios.items()
        },
    }


def main() -> None:
    parser = parser_of(__doc__, "a tenth of the facts, three repeats")
    parser.add_argument("--kafka", help="kafka://HOST:PORT of a broker that may be written to; without it SQLite alone")
    given = asked_of(parser)
    count, repeats = (5_000, 3) if given.quick else (50_000, 7)
    settings = {
        "payload_bytes": PAYLOAD_BYTES,
        "batch": BATCH,
        "facts": count,
        "read_at_once": READ,
        "kafka": given.kafka,
    }
    figures = circumstances(settings | {"sqlite": "WAL, synchronous=FULL", "folder": tempfile.gettempdir()})
    with tempfile.TemporaryDirectory() as folder:
        sqlite = Sqlite(Path(folder), count)
        figures["sqlite_append"] = compare(
            "SQLite: durable appends",
            {
                "ours": sqlite.append_ours,
                "eventsourcing, aggregate saved by 500": sqlite.append_aggregate,
                "eventsourcing, bare recorder": sqlite.append_recorder,
            },
            repeats,
            {"eventsourcing, aggregate saved by 500": 0.5},
        )
        figures["sqlite_read"] = compare(
            "SQLite: reading in order",
            {"ours": sqlite.read_ours, "eventsourcing, bare recorder": sqlite.read_recorder},
            repeats,
            {},
        )
    if given.kafka:
        from benchmarks.log_kafka import Kafka

        kafka = Kafka(given.kafka, count)
        for name, title in (("append", "durable appends"), ("read", "reading a partition"), ("poll", "a group member")):
            measures = {"ours": getattr(kafka, f"{name}_ours"), "bare kafka-python": getattr(kafka, f"{name}_bare")}
            figures[f"kafka_{name}"] = compare(f"Kafka: {title}", measures, repeats, {"bare kafka-python": 0.7})
        kafka.close()
    if given.json:
        write(given.json, figures)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
