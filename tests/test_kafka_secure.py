"""Kafka behind TLS and passwords, on a real broker: who has the right keys gets in, who has not is told why."""

import base64
import json
import logging
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from structlog.testing import capture_logs

from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.log import Entry
from concord.kit.log.kafka.log import KafkaLog
from concord.kit.log.kafka.oauth import Tokens
from concord.kit.log.kafka.settings import translated
from concord.kit.log.kafka.url import parse
from concord.kit.log.topics import TRIAGE
from concord.kit.loop.stepping import drive
from concord.kit.urls import without_secrets
from concord.operate import backends
from tests.secure_broker import PASSWORD, USER, certificate, start_secure_broker
from tests.test_kafka_log import collect, places

# Five seconds of kafka-python's own, then a knock; the rest is a busy machine.
SECONDS = 15.0


@pytest.fixture(scope="module")
def guarded(kafka_jars, tmp_path_factory):
    started = start_secure_broker(tmp_path_factory.mktemp("secure"))
    yield started
    started.running.stop()


@pytest.fixture(params=["certificate", "password", "password in a variable"])
def right_url(request, guarded, monkeypatch):
    """Each way in."""
    world = f"&prefix={request.param.split()[-1]}."
    if request.param == "certificate":
        return guarded.mtls() + world
    if request.param == "password":
        return guarded.sasl() + world
    monkeypatch.setenv("BROKER_PASSWORD", PASSWORD)
    return guarded.sasl().replace(f"password_file={guarded.tls}/password", "password_env=BROKER_PASSWORD") + world


def test_with_the_right_keys_the_log_keeps_its_promises(right_url):
    log = KafkaLog(right_url)
    assert list(log.append([Entry(TRIAGE, 3, b"run", b"%d" % n, (("trace", b"1"),)) for n in range(4)])) == [0, 1, 2, 3]
    assert [record.value for record in log.read(TRIAGE, 3, 1, 2)] == [b"1", b"2"]
    assert log.end(TRIAGE, 3) == 4
    member = log.subscribe(TRIAGE, "triage")
    assert places(collect([member], 4)) == {(3, offset) for offset in range(4)}
    member.commit({3: 2})
    member.close()
    heir = log.subscribe(TRIAGE, "triage")
    assert places(collect([heir], 2)) == {(3, 2), (3, 3)}
    heir.close()
    log.close()


WRONG = {
    "a wrong password": (
        lambda b: b.sasl("wrong-password"),
        r"does not let user 'judge' in: a wrong password, or a user",
    ),
    "a wrong CA": (lambda b: b.mtls(ca="stranger"), r"certificate is not to be trusted \(.*issuer.*ca_file must hold"),
    "a wrong CA with a password": (lambda b: b.sasl(ca="stranger"), r"certificate is not to be trusted"),
    "no certificate": (lambda b: b.mtls(""), r"asks for a certificate and the client shows none"),
    "a stranger's certificate": (lambda b: b.mtls("impostor"), r"the client shows one that it does not trust"),
    "no TLS where TLS is spoken": (lambda b: f"kafka://127.0.0.1:{b.mtls_port}", r"it may want TLS: security=SSL"),
    "TLS where none is spoken": (
        lambda b: b.mtls().replace(f":{b.mtls_port}", f":{b.running.port}"),
        r"TLS fails .*security=PLAINTEXT",
    ),
}


class TokenEndpoint(ThreadingHTTPServer):
    """Gives whoever knows the secret a token in the name of its client, of the unsigned kind that a broker of tests takes."""

    daemon_threads = True

    def __init__(self, seconds: int = 300) -> None:
        super().__init__(("127.0.0.1", 0), TokenHandler)
        self.seconds, self.given, self.forms = seconds, 0, []
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/token"


class TokenHandler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.forms.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        right = base64.b64encode(f"{USER}:{PASSWORD.replace(' ', '%20')}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {right}":
            return self.send_error(401)
        self.server.given += 1
        now = int(time.time())
        claims = {"sub": USER, "iat": now, "exp": now + self.server.seconds}
        parts = (
            base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode()
            for one in ({"alg": "none"}, claims)
        )
        body = json.dumps({"access_token": f"{'.'.join(parts)}.", "expires_in": self.server.seconds}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given):
        """Nobody reads it."""


@pytest.fixture
def tokens():
    endpoint = TokenEndpoint()
    yield endpoint
    endpoint.shutdown()
    endpoint.server_close()


def test_a_token_of_the_companys_endpoint_lets_the_log_in(guarded, tokens):
    log = KafkaLog(guarded.oauth(tokens.url) + "&prefix=oauth.&token_scope=kafka")
    assert list(log.append([Entry(TRIAGE, 0, b"run", b"x")])) == [0]
    assert [record.value for record in log.read(TRIAGE, 0, 0, 9)] == [b"x"]
    assert "scope=kafka" in tokens.forms[0] and "grant_type=client_credentials" in tokens.forms[0]
    log.close()


def test_without_the_clients_secret_or_the_endpoint_nobody_gets_in_and_hears_where_to_look(guarded, tokens):
    for url in (guarded.oauth(tokens.url, "wrong-password"), guarded.oauth("http://127.0.0.1:9/token")):
        with pytest.raises(Unavailable, match=r"token_url=http://127\.0\.0\.1") as refused:
            KafkaLog(url + "&timeout_s=3")
        assert PASSWORD not in str(refused.value)


def test_a_token_is_asked_for_again_before_it_is_over(tokens):
    now = 0.0
    mine = Tokens(tokens.url, USER, lambda: PASSWORD, clock=lambda: now)
    first = mine.token()
    now = 200.0
    assert mine.token() == first and tokens.given == 1
    now = 241.0
    assert mine.token() and tokens.given == 2


@pytest.mark.parametrize("mistake", WRONG)
def test_whoever_is_not_let_in_hears_why_within_seconds_and_reads_no_secret(mistake, guarded, caplog):
    url, says = WRONG[mistake]
    caplog.set_level(logging.INFO)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=says) as refused:
        KafkaLog(url(guarded))
    assert time.monotonic() - began < SECONDS
    said = str(refused.value)
    assert f"security={parse(url(guarded)).security}" in said
    for secret in (PASSWORD, "a guess", "PRIVATE KEY"):
        assert secret not in said and secret not in caplog.text


def test_whoever_is_let_in_but_has_no_rights_hears_that(guarded):
    certificate(guarded.tls, "guest", "ca")
    KafkaLog(guarded.mtls() + "&prefix=guests.").close()
    with pytest.raises(Unavailable, match=r"does not let .*guest.crt.* do this.*access rules must allow"):
        KafkaLog(guarded.mtls("guest") + "&prefix=guests.")


def test_the_doctor_never_prints_a_password_that_stands_in_the_url():
    for url in (
        "kafka://me:hunter2@host:1",
        "kafka://host:1?password=hunter2",
        "postgresql://me:hunter2@host/db",
        "kafka://host:1?user=me&sasl_pass=hunter2",
        "kafka://host:1?pwd=hunter2#x",
        "https://host/?X-Amz-Signature=hunter2",
    ):
        assert "hunter2" not in without_secrets(url)
    assert (
        without_secrets("kafka://host:1?password_file=/run/p&key_file=/k")
        == "kafka://host:1?password_file=/run/p&key_file=/k"
    )
    found = backends._backend(
        "CONCORD_LOG_URL", "the log", "kafka://me:hunter2@host:1", lambda: KafkaLog("kafka://me:hunter2@host:1")
    )
    assert "hunter2" not in found.what + found.error and "password_file=PATH" in found.error


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("security=TLS", "security='TLS' is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("security=SASL_SSL&user=u&password_env=P&mechanism=GSSAPI", "mechanism='GSSAPI' is not one of SCRAM-SHA-512"),
        ("security=SASL_SSL&user=u", "needs user, and one of password_file and password_env"),
        ("security=SASL_SSL&user=u&password_env=P&password_file=/p", "needs user, and one of"),
        ("security=SASL_SSL&user=u&password_env=P&mechanism=OAUTHBEARER", "belong together"),
        ("security=SASL_SSL&user=u&password_env=P&token_url=https://t", "belong together"),
        ("user=u&password_env=P", "user, password_env would not be used with security=PLAINTEXT"),
        ("ca_file=/ca", "ca_file would not be used with security=PLAINTEXT"),
        ("security=SSL&key_file=/k", "key_file is given without the certificate"),
        ("password=hunter2", "no option 'password'.*password_file=PATH or &password_env=NAME"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_anybody_waits(options, says):
    with pytest.raises(InvalidInput, match=says) as refused:
        parse(f"kafka://host:1?{options}")
    assert "hunter2" not in str(refused.value)


def test_files_and_variables_that_are_missing_or_of_another_kind_are_named(tmp_path):
    start = f"kafka://host:1?user={USER}&security="
    with pytest.raises(InvalidInput, match="no environment variable BROKER_PASSWORD holds a password"):
        parse(start + "SASL_PLAINTEXT&password_env=BROKER_PASSWORD").connection({})
    with pytest.raises(InvalidInput, match="ca_file '/nowhere' cannot be read: No such file"):
        parse("kafka://host:1?security=SSL&ca_file=/nowhere").connection({})
    (tmp_path / "no.pem").write_text("not PEM")
    with pytest.raises(InvalidInput, match=r"ca_file .*no.pem' holds no certificates in PEM form"):
        parse(f"kafka://host:1?security=SSL&ca_file={tmp_path}/no.pem").connection({})
    with pytest.raises(InvalidInput, match=r"are no PEM pair without a passphrase"):
        parse(f"kafka://host:1?security=SSL&cert_file={tmp_path}/no.pem").connection({})


def test_a_key_that_cannot_be_read_is_a_mistake_at_the_start_and_an_outage_in_mid_run(guarded, tmp_path):
    own = shutil.copytree(guarded.tls, tmp_path / "tls")
    url = guarded.mtls().replace(str(guarded.tls), str(own)) + "&prefix=exchanged."
    log = KafkaLog(url)
    key = own / "concord.key"
    away = key.rename(tmp_path / "away.key")
    with pytest.raises(InvalidInput, match=r"key_file '.*concord.key' cannot be read: No such file"):
        KafkaLog(url)
    for new in (lambda: log.read(TRIAGE, 3, 0, 10), lambda: log.subscribe(TRIAGE, "triage")):
        with pytest.raises(
            Unavailable, match=r"no new connection to Kafka at .*key_file '.*concord.key' cannot be read"
        ):
            new()
    assert list(log.append([Entry(TRIAGE, 3, b"run", b"over what is connected")])) == [0]
    key.write_text("half of a key")
    with pytest.raises(Unavailable, match="no PEM pair"):
        log.read(TRIAGE, 3, 0, 10)
    key.unlink()
    away.rename(key)
    assert [record.value for record in log.read(TRIAGE, 3, 0, 10)] == [b"over what is connected"]
    log.close()


def test_a_loop_says_once_that_a_secret_is_away_and_goes_on_when_it_is_back(tmp_path):
    secret, stop, tries = tmp_path / "password", threading.Event(), []
    settings = parse(f"kafka://host:1?security=SASL_SSL&user=judge&password_file={secret}")

    class Stepper:
        def step(self, timeout_s: float) -> int:
            stop.set()
            return 0

        def ready(self) -> bool:
            return True

        drain = ready

        def close(self) -> None: ...

    def make() -> Stepper:
        tries.append(secret)
        if len(tries) == 3:
            secret.write_text("pw")
        with translated(settings):
            settings.connection()
        return Stepper()

    with capture_logs() as said:
        drive("triage", make, stop, threading.Event())
    assert [str(secret) in one["why"] for one in said if one["log_level"] == "warning"] == [True]
    assert len(tries) == 3
