"""The load that a client offers, and its result."""

from dataclasses import dataclass
from typing import Literal

__all__ = ("Job", "Result")


@dataclass(frozen=True)
class Job:
    """The load to offer.

    Attributes:
        kind: ``kept``: each connection sends the next request after each response; ``new``: a new connection for each
            request; ``paced``: requests are due at fixed times, independent of the responses.
        port: the server's port on 127.0.0.1.
        request: the bytes of the request, as Latin-1.
        answer: the bytes of the right response, as Latin-1; its Date may differ.
        connections: the number of connections at the same time.
        seconds: the duration; a paced job ends earlier if standard input ends.
        per_second: the requests per second of a paced job.
        refreshes: how many times the right response may change to another with the same status.
        timeout_seconds: the maximum time of a response after the end of the job; a later response is an error.
    """

    kind: Literal["kept", "new", "paced"]
    port: int
    request: str
    answer: str
    connections: int
    seconds: float
    per_second: float = 0.0
    refreshes: int = 0
    timeout_seconds: float = 5.0


@dataclass(frozen=True)
class Result:
    """The result of a job.

    Attributes:
        answers: the number of right responses.
        errors: the number of errors of each kind: ``cut`` (closed or reset before the end of the response), ``wrong``,
            ``late``, or the name of the errno of connect.
        seconds: from the first request to the last response.
        p50_ms: the median latency of right responses, from the time when the request was sent or due; infinite
            without a right response.
        p99_ms: the 99th percentile of the same.
        worst_ms: the maximum of the same.
        cpu: the share of a core that the client used: from 0.95 on the client limited the result.
        refreshed: the last response that replaced the right one, "" if there was none.
    """

    answers: int
    errors: dict[str, int]
    seconds: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    cpu: float
    refreshed: str
