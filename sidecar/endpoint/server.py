"""``GET /v1/credentials[/<profile>]`` on loopback.

The request path is: judge, look at both clocks, write bytes that were rendered when the set was published.
It touches no lock, no file and no STS, so no trouble elsewhere can make an answer late.
"""

import socket
from collections.abc import Callable, Mapping
from typing import Final

from sidecar.clock import Clock
from sidecar.credentials.store import Store
from sidecar.endpoint.guard import REFUSALS, Guard, Refusal
from sidecar.endpoint.http1 import Limits
from sidecar.endpoint.listener import Listener, bind
from sidecar.endpoint.reader import Fault, Request
from sidecar.endpoint.wire import Answer, BodyError, BodyProblem, Pending, ecs_body, error, render
from sidecar.errors import Failure
from sidecar.limits import DRAIN_SECONDS, ENDPOINT_ADDRESS, ENDPOINT_PORT, FIRST_SET_WAIT_SECONDS
from sidecar.lives import Lives
from sidecar.model import Held

__all__ = ("EXPIRED", "NO_SET", "OK", "REQUEST_LABELS", "CredentialServer", "Status")

Status = Callable[[str], Failure | None]
"""Tells the last failure of a profile, None where there is none; must not raise."""

OK: Final = (200, "none")
NO_SET: Final = (503, "no_set")
EXPIRED: Final = (503, "expired")
REQUEST_LABELS: Final = (
    OK,
    *dict.fromkeys((refusal.status, str(refusal.cause)) for refusal in REFUSALS),
    *((fault.status, str(fault)) for fault in Fault),
    NO_SET,
    EXPIRED,
    *((503, str(problem)) for problem in BodyProblem),
)
"""Every (code, cause) that a request can be counted under."""


class _Served:
    # One profile: its set, and the answer to give while the set lives.
    __slots__ = ("answer", "had", "held", "problem", "profile", "waiting")

    def __init__(self, profile: str) -> None:
        self.profile = profile
        self.held: Held | None = None
        self.answer: Answer | None = None
        self.problem: tuple[tuple[int, str], Answer] | None = None
        self.had = False
        self.waiting: list[Pending] = []


class CredentialServer:
    """Serves the sets of a store, each to whoever has the auth token of its profile.

    Args:
        store: subscribed to here; a set that it already holds is served.
        auth_tokens: the auth token of each profile that is served.
        clock: asked on every request.
        port: on 127.0.0.1, the one address that this server can listen on; 0 takes a free one.
        status: what a 503 says of why there is no set.
        limits: what to put up with.
        first_set_seconds: how long a request waits for the first set of a profile.

    Raises:
        ValueError: as ``set_profiles`` does.
    """

    def __init__(
        self,
        store: Store,
        auth_tokens: Mapping[str, bytes | str],
        clock: Clock,
        port: int = ENDPOINT_PORT,
        *,
        status: Status | None = None,
        limits: Limits | None = None,
        first_set_seconds: float = FIRST_SET_WAIT_SECONDS,
    ) -> None:
        self._store = store
        self._now = clock.now
        self._port = port
        self._status = status
        self._first_set_seconds = first_set_seconds
        self._listener = Listener(self._handle, limits or Limits(), self._count_fault)
        self._refusals = {refusal: _refusal_answer(refusal) for refusal in REFUSALS}
        self.requests: dict[tuple[int, str], int] = dict.fromkeys(REQUEST_LABELS, 0)
        """Answers by (code, cause), every combination from the start."""
        self.lives = Lives()
        """How much life was left in what was served."""
        self._served: dict[str, _Served] = {}
        self.set_profiles(auth_tokens)
        store.subscribe(self._publish)

    def __repr__(self) -> str:
        holding = sum(served.held is not None for served in self._served.values())
        return f"<CredentialServer port {self._port}, {holding} of {len(self._served)} sets, {self._listener!r}>"

    @property
    def port(self) -> int:
        """The port listened on; before ``start`` the one asked for."""
        return self._port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._listener.open

    @property
    def evicted(self) -> int:
        """How many connections were closed to make room."""
        return self._listener.evicted

    @property
    def turned_away(self) -> int:
        """How many new connections were closed because every other one had a request in flight."""
        return self._listener.turned_away

    @property
    def waiting(self) -> int:
        """How many requests wait for a first set."""
        return sum(len(served.waiting) for served in self._served.values())

    def set_profiles(self, auth_tokens: Mapping[str, bytes | str]) -> None:
        """Serve these profiles from now on, each to whoever has its auth token; others of the store are not served.

        Raises:
            ValueError: a profile is not in the store, or a token is empty.
        """
        if not set(auth_tokens) <= set(self._store.profiles):
            raise ValueError("there is an auth token for a profile that is not in the store")
        tokens = {name: token.encode() if isinstance(token, str) else token for name, token in auth_tokens.items()}
        self._judge = Guard(tokens).judge
        for name in set(self._served) - set(tokens):
            self._release(self._served.pop(name))
        for name in tokens:
            if name not in self._served:
                self._served[name] = _Served(name)
                held = self._store.get(name)
                if held is not None:
                    self._publish(name, held)

    async def start(self) -> None:
        """Listen.

        Raises:
            StartError: the port cannot be had.
            OSError: there is no IPv4.
        """
        sock = bind(socket.AF_INET, ENDPOINT_ADDRESS, self._port)
        self._port = sock.getsockname()[1]
        self._listener.start(sock)

    async def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Accept no more, answer what is in flight, close; nothing stays open, also when cancelled."""
        for served in self._served.values():
            self._release(served)  # no set will come any more
        await self._listener.stop(drain_seconds)

    def _handle(self, request: Request) -> Answer | Pending:
        verdict = self._judge(request.method, request.target, request.headers)
        if isinstance(verdict, Refusal):
            self.requests[verdict.status, verdict.cause] += 1
            return self._refusals[verdict]
        served = self._served[verdict.profile]
        answer = served.answer
        held, now = served.held, self._now()
        if answer is not None and held is not None and held.servable(now):
            self.requests[OK] += 1
            self.lives.count(held.grant.credentials.expires_at - now.wall)
            return answer
        if served.had or self._listener.draining:
            return self._unavailable(served)
        # A pod that has just started: its first exchange takes about as long as an SDK is willing to wait.
        pending = Pending()
        served.waiting.append(pending)
        self._listener.loop.call_later(self._first_set_seconds, self._give_up, served, pending)
        return pending

    def _publish(self, profile: str, held: Held | None) -> None:
        served = self._served.get(profile)
        if served is None:
            return  # the source of others, which nobody may ask for
        served.held, served.answer, served.problem = held, None, None
        if held is not None:
            try:
                served.answer = render(200, ecs_body(held.grant.credentials))
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

    def _ready(self, served: _Served) -> Answer:
        held, now = served.held, self._now()
        if served.answer is None or held is None or not held.servable(now):
            return self._unavailable(served)
        self.requests[OK] += 1
        self.lives.count(held.grant.credentials.expires_at - now.wall)
        return served.answer

    def _unavailable(self, served: _Served) -> Answer:
        if served.problem is not None:
            label, answer = served.problem
            self.requests[label] += 1
            return answer
        label, text = (EXPIRED, "the credentials expired") if served.held else (NO_SET, "no credentials")
        self.requests[label] += 1
        failure = None if self._status is None else self._status(served.profile)
        if failure is None:
            return error(503, label[1], f"{text}, and no exchange with AWS has ended since; try again")
        return error(503, label[1], f"{text}; the last exchange: {failure.outcome}; {failure.hint}")

    def _count_fault(self, fault: Fault) -> None:
        self.requests[fault.status, fault] += 1


def _refusal_answer(refusal: Refusal) -> Answer:
    # RFC 9110 section 15.5.6: 405 names the methods that would do.
    allow = (("Allow", "GET"),) if refusal.status == 405 else ()  # noqa: PLR2004 - RFC 9110
    return error(refusal.status, refusal.cause, refusal.message, allow)
