"""A credential server with a stopped clock, and a client of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.credentials.store import Store
from sidecar.endpoint.server import CredentialServer, Reason
from sidecar.model import Held
from tests.helpers.clock import FakeClock
from tests.helpers.peer import Peer, held, request

__all__ = ("AS_READER", "AS_WRITER", "READER", "WRITER", "EndpointSetup", "site")

READER, WRITER = "r" * 43, "w" * 43
AS_READER = request("/v1/credentials/reader", f"Authorization: {READER}")
AS_WRITER = request("/v1/credentials/writer", f"Authorization: {WRITER}")


class EndpointSetup:
    """A server with its clock and its store."""

    def __init__(self, status: Reason, first_set_seconds: float) -> None:
        self.clock = FakeClock()
        self.store = Store(["reader", "writer"])
        self.rejected: list[tuple[int, str, str]] = []
        self.server = CredentialServer(
            self.store,
            {"reader": READER, "writer": WRITER.encode()},
            self.clock,
            0,
            status=status,
            rejected=lambda *rejection: self.rejected.append(rejection),
            first_set_seconds=first_set_seconds,
        )

    def hold(self, number: int = 1) -> Held:
        return held(number, now=self.clock.now())

    def counted(self) -> dict[tuple[int, str], int]:
        return {label: count for label, count in self.server.requests.items() if count}


@asynccontextmanager
async def site(
    status: Reason = lambda _: "try again", first_set_seconds: float = 60.0
) -> AsyncIterator[tuple[EndpointSetup, Peer]]:
    made = EndpointSetup(status, first_set_seconds)
    await made.server.start()
    client = await Peer.connect(made.server.port)
    try:
        yield made, client
    finally:
        await client.close()
        await made.server.stop(0)
