"""A stand-in for STS, over real HTTP: gives keys to whoever shows the token of a role, and no others."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

from tests.threaded import served

ROLE = "arn:aws:iam::111122223333:role/concord"
SAID = """<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>
<SecretAccessKey>secret</SecretAccessKey><SessionToken>session-{key}</SessionToken><Expiration>{until}</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
REFUSED = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>"


class Sts:
    """`tokens` are those that were shown and taken; the keys it gave are KEY1, KEY2, …; each lives for `life_s`."""

    def __init__(self) -> None:
        self.trusted: set[str] = set()
        self.tokens: list[str] = []
        self.life_s = 3600.0
        self.url = ""


@contextmanager
def sts():
    """A running one; its `url` is an AWS_ENDPOINT_URL_STS."""
    server_of = Sts()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            token, status, text = asked["WebIdentityToken"][0], 400, REFUSED
            if (
                asked["Action"] == ["AssumeRoleWithWebIdentity"]
                and asked["RoleArn"] == [ROLE]
                and token in server_of.trusted
            ):
                server_of.tokens.append(token)
                until = datetime.now(UTC) + timedelta(seconds=server_of.life_s)
                status, text = 200, SAID.format(key=f"KEY{len(server_of.tokens)}", until=f"{until:%Y-%m-%dT%H:%M:%SZ}")
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None: ...

    with served(Handler) as server:
        server_of.url = f"http://127.0.0.1:{server.server_port}"
        yield server_of
