"""`python -m concord.kit.health HOST:PORT [SERVICE]`: exit 0 where gRPC health says SERVING, else 1 with the reason.

HOST:PORT may be an address with files, as kit/secure.py says.

For container engines without gRPC probes of their own; imports little, as it runs every few seconds.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from concord.kit import secure

DEADLINE_S = 3.0


def why_not(address: str, service: str = "", timeout_s: float = DEADLINE_S) -> str | None:
    """None where the server at HOST:PORT, or tls://…, serves; else in words why not.

    `service` is a full name; empty: the server as a whole.
    """
    place, files = secure.parsed(address)
    with grpc.secure_channel(place, secure.client(files)) if files else grpc.insecure_channel(place) as channel:
        try:
            asked = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=timeout_s)
        except grpc.RpcError as error:
            return f"{address}: {error.code().name}: {error.details()}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return f"{address}: {service or 'the server'} is {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def main(words: list[str]) -> int:
    """The exit status."""
    if len(words) not in (1, 2):
        print("usage: python -m concord.kit.health HOST:PORT [SERVICE]", file=sys.stderr)
        return 2
    if (reason := why_not(words[0], "".join(words[1:]))) is not None:
        print(reason, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
