"""A real Kafka broker that lets nobody in without a certificate, a password or a token: mutual TLS on one port, TLS with
SCRAM-SHA-512 on another, OAUTHBEARER on a third. Its keys are made anew each time.
"""

import datetime
import ipaddress
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from deploy.local import broker
from deploy.local.broker import DEPLOY, Broker, free_port

USER, PASSWORD = "judge", "correct horse"
# What an authority's key is not for.
OTHER_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
# What is added to the open broker's settings; its plain listener stays, for the broker itself and for the tests' eyes.
SECURE = string.Template("""
listeners=PLAINTEXT://127.0.0.1:$PORT,MTLS://127.0.0.1:$MTLS,SASL://127.0.0.1:$SASL,OAUTH://127.0.0.1:$OAUTH,CONTROLLER://127.0.0.1:$CONTROLLER
advertised.listeners=PLAINTEXT://127.0.0.1:$PORT,MTLS://127.0.0.1:$MTLS,SASL://127.0.0.1:$SASL,OAUTH://127.0.0.1:$OAUTH
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MTLS:SSL,SASL:SASL_SSL,OAUTH:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location=$FOLDER/tls/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$FOLDER/tls/ca.crt
listener.name.mtls.ssl.client.auth=required
listener.name.sasl.ssl.client.auth=none
ssl.principal.mapping.rules=RULE:^CN=([a-z-]+).*$$/$$1/,DEFAULT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule \\
  required unsecuredLoginStringClaim_sub="broker";
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:broker;User:concord;User:judge
allow.everyone.if.no.acl.found=false
""")


@dataclass(frozen=True)
class SecureBroker:
    """The broker, its two guarded ports, and the folder with everybody's keys."""

    running: Broker
    mtls_port: int
    sasl_port: int
    tls: Path
    oauth_port: int

    def oauth(self, token_url: str, secret: str = "password") -> str:
        """URL of the port that asks for a token from there; the client's secret stands in the file of that name."""
        who = f"security=SASL_PLAINTEXT&mechanism=OAUTHBEARER&user={USER}&password_file={self.tls}/{secret}"
        return f"kafka://127.0.0.1:{self.oauth_port}?{who}&token_url={token_url}"

    def mtls(self, name: str = "concord", ca: str = "ca") -> str:
        """URL of the port that asks for a certificate; `name` empty: none is shown."""
        own = f"&cert_file={self.tls}/{name}.crt&key_file={self.tls}/{name}.key" if name else ""
        return f"kafka://127.0.0.1:{self.mtls_port}?security=SSL&ca_file={self.tls}/{ca}.crt{own}"

    def sasl(self, password: str = "password", ca: str = "ca") -> str:
        """URL of the port that asks for a password, which stands in the file of that name."""
        who = f"security=SASL_SSL&user={USER}&password_file={self.tls}/{password}"
        return f"kafka://127.0.0.1:{self.sasl_port}?{who}&ca_file={self.tls}/{ca}.crt"


def start_secure_broker(folder: Path) -> SecureBroker:
    """Makes the keys, formats `folder` and starts the broker. Raises RuntimeError that says what to install."""
    broker.install()
    tls = folder / "tls"
    tls.mkdir(parents=True)
    make_keys(tls)
    ports: set[int] = set()
    while len(ports) < 5:
        ports.add(free_port())
    port, mtls, sasl, oauth, controller = ports
    plain = string.Template((DEPLOY / "server.properties").read_text())
    text = plain.substitute(PORT=port, CONTROLLER_PORT=controller, FOLDER=folder)
    # In a properties file what comes last counts.
    text += SECURE.substitute(PORT=port, MTLS=mtls, SASL=sasl, OAUTH=oauth, CONTROLLER=controller, FOLDER=folder)
    (folder / "server.properties").write_text(text)
    broker.format_storage(folder, "--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
    return SecureBroker(Broker(folder, port, broker.launch(folder, port)), mtls, sasl, tls, oauth)


def make_keys(tls: Path) -> None:
    """Two authorities (`stranger` signed nothing here), the broker's and a client's certificates, passwords in files."""
    for name in ("ca", "stranger"):
        certificate(tls, name, name)
    for name, signer in (("broker", "ca"), ("concord", "ca"), ("impostor", "stranger")):
        certificate(tls, name, signer)
    (tls / "broker.pem").write_text((tls / "broker.key").read_text() + (tls / "broker.crt").read_text())
    (tls / "password").write_text(PASSWORD + "\n")
    (tls / "wrong-password").write_text("a guess\n")


def certificate(tls: Path, name: str, signer: str, common: str = "", hosts: Sequence[str] = ()) -> None:
    """A key and a certificate in the files `name`, signed by `signer`; an authority is who signs its own.

    `common`: the common name, where it is another. `hosts`: what its owner is called beside 127.0.0.1.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem, open_key = serialization.Encoding.PEM, serialization.NoEncryption()
    (tls / f"{name}.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, open_key))
    signing = serialization.load_pem_private_key((tls / f"{signer}.key").read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(_named(common or name))
        .issuer_name(_named(signer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=name == signer, path_length=None), critical=True)
    )
    if name == signer:
        made = made.add_extension(x509.KeyUsage(key_cert_sign=True, **dict.fromkeys(OTHER_USES, False)), critical=True)
    else:
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = [loopback, *map(x509.DNSName, hosts)]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    (tls / f"{name}.crt").write_bytes(made.sign(signing, hashes.SHA256()).public_bytes(pem))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
