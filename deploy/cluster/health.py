"""Whether a piece of the cluster answers, and what must be installed for it to."""

import socket
import urllib.error
import urllib.request

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from concord.kit import rpc
from deploy.local import broker, s3

ASK_S = 2.0


def needs(kind: str) -> list[str]:
    """What is missing on this machine, in words; empty where everything is there."""
    out = [f"{why}, then `make up` again"] if (why := broker.missing()) else []
    if kind == "versity" and not s3.VERSITY.exists():
        out.append(
            f"S3: {s3.VERSITY} is gone, which holds this cluster's blobs: `make s3`, or begin anew: `make down DATA=gone`"
        )
    return out


def taken(port: int) -> bool:
    """Whether something listens on 127.0.0.1:`port`."""
    try:
        socket.create_connection(("127.0.0.1", port), ASK_S).close()
        return True
    except OSError:
        return False


def answers(name: str, port: int) -> bool:
    """Whether the piece does its work now; a service says so itself, once it is in its groups and caught up."""
    return {"kafka": taken, "postgres": _postgres, "s3": _http}.get(name, _serving)(port)


def _postgres(port: int) -> bool:
    """While it recovers its port is open, and it says so."""
    import psycopg

    try:
        psycopg.connect(f"postgresql://concord@127.0.0.1:{port}/postgres", connect_timeout=int(ASK_S)).close()
        return True
    except psycopg.OperationalError:
        return False


def _http(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=ASK_S).close()
        return True
    except urllib.error.HTTPError:
        # Any answer will do: without a key it is a refusal.
        return True
    except OSError:
        return False


def _serving(port: int) -> bool:
    with rpc.channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=ASK_S)
            return answer.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.RpcError:
            return False
