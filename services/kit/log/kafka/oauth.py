"""OAUTHBEARER: a token from the company's own token endpoint (OAuth 2.0 client credentials), kept until it is nearly over."""

import base64
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable

from kafka.net.sasl.oauth import AbstractTokenProvider

WAIT_S = 5
# A new one is asked for once so much of the time of the last one is over.
USED = 0.8
# Where the endpoint does not say how long a token holds.
UNSAID_S = 300.0


class Tokens(AbstractTokenProvider):
    """Tokens for the clients of one log. Thread-safe. Raises OSError where the endpoint does not give one."""

    def __init__(
        self,
        url: str,
        client: str,
        secret: Callable[[], str],
        scope: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`secret()` is read anew for each token."""
        self._url, self._client, self._secret, self._scope, self._clock = url, client, secret, scope, clock
        self._lock = threading.Lock()
        self._token, self._until = "", float("-inf")

    def token(self) -> str:
        """A token that still holds for a while."""
        with self._lock:
            now = self._clock()
            if now >= self._until:
                self._token, seconds = self._asked()
                self._until = now + USED * seconds
            return self._token

    def _asked(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        quoted = ":".join(urllib.parse.quote(part, safe="") for part in (self._client, self._secret()))
        headers = {"Authorization": f"Basic {base64.b64encode(quoted.encode()).decode()}", "Accept": "application/json"}
        request = urllib.request.Request(self._url, urllib.parse.urlencode(form).encode(), headers)
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            said = json.load(answer)
        if not isinstance(said, dict) or not isinstance(said.get("access_token"), str):
            raise OSError(f"{self._url} answered without an access_token")
        seconds = said.get("expires_in", UNSAID_S)
        return said["access_token"], float(seconds) if isinstance(seconds, int | float) else UNSAID_S
