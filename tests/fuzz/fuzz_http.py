"""The endpoint: the same bytes get the same answers in any packets, and no credentials without their auth token."""

import itertools
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from sidecar.credentials.store import Store
from sidecar.endpoint.server import CredentialServer
from sidecar.http1.connection import Handler, Limits, ServerConnection
from sidecar.http1.parser import Fault, Heads
from tests.fuzz.engine import fuzz
from tests.helpers.clock import FakeClock
from tests.helpers.peer import held
from tests.property.test_http1_bytes import Wire

__all__ = ("check",)

TOKENS = {
    "default": b"default-token-0123456789-0123456789-0123456",
    "writer": b"writer-token-0123456789-0123456789-01234567",
}
CUTS = 5


class ManualLoop:
    """The part of an event loop that a connection uses: ``turn`` runs the scheduled calls."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], object]] = []

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self._soon.append(lambda: callback(*args))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise context["exception"]

    def turn(self) -> None:
        """Run all scheduled calls, and those that they schedule."""
        while self._soon:
            self._soon.pop(0)()


CLOCK = FakeClock()
STORE = Store(TOKENS)
SERVER = CredentialServer(STORE, TOKENS, CLOCK)
SECRETS: dict[str, bytes] = {}
for number, profile in enumerate(TOKENS, start=1):
    HELD = held(number, now=CLOCK.now())
    STORE.publish(profile, HELD)
    SECRETS[profile] = HELD.result.credentials.secret_access_key.encode()


class ConnectionOwner:
    """The ``Owner`` of one connection to the real server."""

    def __init__(self) -> None:
        self.turns = ManualLoop()
        self.loop: Any = self.turns
        self.handler: Handler = SERVER._handle
        self.limits = Limits(head_bytes=1_024)
        self.draining = False
        self.heads: Heads = {}
        self.faults: list[Fault] = []

    def closed(self, connection: ServerConnection) -> None:
        pass

    def rejected(self, fault: Fault) -> None:
        self.faults.append(fault)


def answer(pieces: Sequence[bytes]) -> tuple[bytes, bool, list[Fault]]:
    """Return the bytes that the connection writes, whether it closes, and the faults that it counts."""
    site, wire = ConnectionOwner(), Wire()
    connection = ServerConnection(site)
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
        site.turns.turn()
    connection.connection_lost(None)
    return wire.written, wire.closed, site.faults


def check(data: bytes) -> None:
    """Compare three ways to split ``data``, and check which credentials were served."""
    if not data:
        return
    # The places are computed from the bytes, so that a seed is a plain request and a finding is reproducible.
    draw = random.Random(zlib.crc32(data))
    places = sorted({0, len(data), *(draw.randrange(len(data)) for _ in range(CUTS))})
    whole = answer([data])
    assert whole == answer([data[index : index + 1] for index in range(len(data))]), "byte by byte it differs"
    assert whole == answer([data[start:end] for start, end in itertools.pairwise(places)]), "cut it differs"
    written = whole[0]
    for name, secret in SECRETS.items():
        assert written.count(secret) <= data.count(TOKENS[name]), f"credentials of {name} without its token"
    # The same length, but no field of HTTP. The framing fault may be another one: compare the number of 200 answers.
    plain = answer([data.replace(b"pgrade", b"pgrada")])[0]
    assert written.count(b"HTTP/1.1 200 ") == plain.count(b"HTTP/1.1 200 "), "an Upgrade changed what is served"
    assert written.count(b"HTTP/1.1 200 ") <= data.count(b"GET "), "200 for something else than GET"


if __name__ == "__main__":
    fuzz("http")
