"""Serves ``GET /v1/credentials[/<profile>]`` on loopback.

A request is checked by the guard, both clocks are read, and the bytes that were rendered when the credentials were
published are written. The request path uses no lock, no file and no STS, so their failures cannot delay an answer.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sidecar.clock import Clock
from sidecar.credentials.bodies import BodyError, BodyProblem, ecs_body
from sidecar.credentials.store import Store
from sidecar.endpoint.descriptors import shares
from sidecar.endpoint.guard import REJECTIONS, Guard, Rejection
from sidecar.endpoint.served_life import LifetimeHistogram
from sidecar.http1.connection import Limits
from sidecar.http1.listener import Listener, bind
from sidecar.http1.parser import Fault, Request
from sidecar.http1.response import EncodedResponse, Pending, encode_response, error
from sidecar.limits import DRAIN_SECONDS, ENDPOINT_ADDRESS, ENDPOINT_PORT, FIRST_CREDENTIALS_WAIT_SECONDS
from sidecar.model import Held, Profile

__all__ = ("EXPIRED", "NO_CREDENTIALS", "OK", "REQUEST_LABELS", "CredentialServer", "OnRejection", "Reason")

Reason = Callable[[str], str]
"""Returns why a profile serves no credentials, one line; must not raise."""

OnRejection = Callable[[int, str, str], None]
"""Called with status, reason and fix of each rejected request; must not raise."""

OK: Final = (200, "none")
NO_CREDENTIALS: Final = (503, "no_credentials")
EXPIRED: Final = (503, "expired")
REQUEST_LABELS: Final = (
    OK,
    *dict.fromkeys((rejection.status, str(rejection.reason)) for rejection in REJECTIONS),
    *((fault.status, str(fault)) for fault in Fault),
    NO_CREDENTIALS,
    EXPIRED,
    *((503, str(problem)) for problem in BodyProblem),
)
"""The labels (code, reason) that a request can be counted under."""


class _Served:
    # One profile: its credentials, and the answer while they are valid.
    __slots__ = ("answer", "expired", "had", "held", "problem", "profile", "waiting")

    def __init__(self, profile: str) -> None:
        self.profile = profile
        self.held: Held | None = None
        self.answer: EncodedResponse | None = None
        self.problem: tuple[tuple[int, str], EncodedResponse] | None = None
        self.had = False
        # Whether the last credentials were withdrawn because their time was over.
        self.expired = False
        self.waiting: list[Pending] = []


class CredentialServer:
    """Serves the credentials of a store; a request needs the auth token of their profile.

    Args:
        store: this class subscribes to it; credentials that are already in it are served.
        auth_tokens: the auth token of each served profile, now and when ``set_profiles`` is called.
        clock: read for each request.
        port: on 127.0.0.1; this server cannot listen on another address. 0 for a free port.
        status: why a profile serves no credentials, for the message of a 503.
        rejected: receives each rejection of a request, but nothing of the request.
        limits: of the connections; by default their number depends on the process's limit of open files.
        first_set_seconds: how long a request waits for the first credentials of a profile.

    Raises:
        ValueError: a profile is not in the store, or a token is empty.
    """

    def __init__(  # noqa: PLR0913 - what differs in tests is passed by keyword
        self,
        store: Store,
        auth_tokens: Mapping[str, bytes | str],
        clock: Clock,
        port: int = ENDPOINT_PORT,
        *,
        status: Reason = lambda _: "try again",
        rejected: OnRejection | None = None,
        limits: Limits | None = None,
        first_set_seconds: float = FIRST_CREDENTIALS_WAIT_SECONDS,
    ) -> None:
        self._store = store
        self._now = clock.now
        self._port = port
        self._status = status
        self._rejected = rejected
        self._first_set_seconds = first_set_seconds
        self._listener = Listener(self._handle, limits or Limits(connections=shares().endpoint), self._count_fault)
        self._rejections = {rejection: _rejection_answer(rejection) for rejection in REJECTIONS}
        self.requests: dict[tuple[int, str], int] = dict.fromkeys(REQUEST_LABELS, 0)
        """Answers by (code, reason); all labels of ``REQUEST_LABELS`` exist from the start."""
        self.lives = LifetimeHistogram()
        """Remaining lifetime of served credentials."""
        self._served: dict[str, _Served] = {}
        self._auth_tokens = auth_tokens
        self._serve(auth_tokens)
        store.subscribe(self.changed)

    def __repr__(self) -> str:
        holding = sum(served.held is not None for served in self._served.values())
        profiles = f"{holding} of {len(self._served)} profiles with credentials"
        return f"<CredentialServer port {self._port}, {profiles}, {self._listener!r}>"

    @property
    def port(self) -> int:
        """The port of the listening socket; before ``start`` the configured port."""
        return self._port

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return self._listener.open

    @property
    def evicted(self) -> int:
        """Number of connections that were closed to make room."""
        return self._listener.evicted

    @property
    def turned_away(self) -> int:
        """Number of new connections that were closed because all others had a request in flight."""
        return self._listener.turned_away

    @property
    def waiting(self) -> int:
        """Number of requests that wait for the first credentials of their profile."""
        return sum(len(served.waiting) for served in self._served.values())

    def set_profiles(self, profiles: Sequence[Profile]) -> None:
        """Serve the credentials of these profiles, except profiles with ``served`` false, and of no others.

        Raises:
            KeyError: one of them has no auth token.
            ValueError: as the constructor.
        """
        self._serve({profile.name: self._auth_tokens[profile.name] for profile in profiles if profile.served})

    def _serve(self, auth_tokens: Mapping[str, bytes | str]) -> None:
        if not set(auth_tokens) <= set(self._store.profiles):
            raise ValueError("there is an auth token for a profile that is not in the store")
        tokens = {name: token.encode() if isinstance(token, str) else token for name, token in auth_tokens.items()}
        self._check = Guard(tokens).check
        for name in set(self._served) - set(tokens):
            self._release(self._served.pop(name))
        for name in tokens:
            if name not in self._served:
                self._served[name] = _Served(name)
                held = self._store.get(name)
                if held is not None:
                    self.changed(name, held)

    async def start(self) -> None:
        """Listen.

        Raises:
            StartError: the port is in use or not permitted.
            OSError: this machine has no IPv4.
        """
        sock = bind(socket.AF_INET, ENDPOINT_ADDRESS, self._port)
        self._port = sock.getsockname()[1]
        self._listener.start(sock)

    async def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Stop accepting, answer requests in flight, and close all connections, also after a cancellation."""
        for served in self._served.values():
            self._release(served)  # no more credentials will arrive
        await self._listener.stop(drain_seconds)

    def _handle(self, request: Request) -> EncodedResponse | Pending:
        decision = self._check(request.method, request.target, request.headers)
        if isinstance(decision, Rejection):
            self._reject(decision.status, decision.reason, decision.message)
            return self._rejections[decision]
        served = self._served[decision.profile]
        answer = served.answer
        held, now = served.held, self._now()
        if answer is not None and held is not None and held.servable(now):
            self.requests[OK] += 1
            self.lives.count(held.result.credentials.expires_at - now.wall)
            return answer
        if served.had or self._listener.draining:
            return self._unavailable(served)
        # The pod has just started: its first exchange takes about as long as the timeout of an SDK.
        pending = Pending()
        served.waiting.append(pending)
        self._listener.loop.call_later(self._first_set_seconds, self._give_up, served, pending)
        return pending

    def changed(self, profile: str, held: Held | None) -> None:
        """Serve the new credentials of a profile, or none; the store calls this."""
        served = self._served.get(profile)
        if served is None:
            return  # the profile is a source of others, and is not served
        if held is not None:
            served.expired = False
        elif served.held is not None:
            served.expired = not served.held.servable(self._now())
        served.held, served.answer, served.problem = held, None, None
        if held is not None:
            try:
                served.answer = encode_response(200, ecs_body(held.result.credentials))
            except BodyError as exc:
                answer = error(503, exc.problem, f"the credentials cannot be served: {exc.hint}")
                served.problem = ((503, str(exc.problem)), answer)
        served.had = served.had or held is not None
        if served.had:
            self._release(served)

    def _release(self, served: _Served) -> None:
        waiting, served.waiting = served.waiting, []
        for pending in waiting:
            pending.resolve(self._ready(served))

    def _give_up(self, served: _Served, pending: Pending) -> None:
        if pending in served.waiting:
            served.waiting.remove(pending)
            pending.resolve(self._unavailable(served))

    def _ready(self, served: _Served) -> EncodedResponse:
        held, now = served.held, self._now()
        if served.answer is None or held is None or not held.servable(now):
            return self._unavailable(served)
        self.requests[OK] += 1
        self.lives.count(held.result.credentials.expires_at - now.wall)
        return served.answer

    def _unavailable(self, served: _Served) -> EncodedResponse:
        if served.problem is not None:
            label, answer = served.problem
            self.requests[label] += 1
            return answer
        expired = served.held is not None or served.expired
        label, text = (EXPIRED, "the credentials expired") if expired else (NO_CREDENTIALS, "no credentials")
        self.requests[label] += 1
        return error(503, label[1], f"{text}; {self._status(served.profile)}")

    def _count_fault(self, fault: Fault) -> None:
        self._reject(fault.status, fault, fault.text)

    def _reject(self, status: int, reason: str, fix: str) -> None:
        self.requests[status, reason] += 1
        if self._rejected is not None:
            self._rejected(status, reason, fix)


def _rejection_answer(rejection: Rejection) -> EncodedResponse:
    # RFC 9110 section 15.5.6: 405 names the allowed methods.
    allow = (("Allow", "GET"),) if rejection.status == 405 else ()  # noqa: PLR2004 - RFC 9110
    return error(rejection.status, rejection.reason, rejection.message, allow)
