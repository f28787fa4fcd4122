"""What load is to be offered, and what came of it."""

from dataclasses import dataclass
from typing import Literal

__all__ = ("Job", "Result")


@dataclass(frozen=True)
class Job:
    """What load to offer.

    Attributes:
        kind: ``kept``: each connection asks again as soon as it is answered; ``new``: a new connection for each
            request; ``paced``: requests are due at fixed times, whatever became of the earlier ones.
        port: on 127.0.0.1.
        request: its bytes, as Latin-1.
        answer: the same of the answer that is right; a Date may differ.
        connections: at once.
        seconds: for how long; a paced job ends earlier where standard input does.
        per_second: requests that are due, of a paced job.
        renewals: how often the right answer may become another one with the same status.
        patience_seconds: how long an answer may take beyond the end; one that takes longer is an error.
    """

    kind: Literal["kept", "new", "paced"]
    port: int
    request: str
    answer: str
    connections: int
    seconds: float
    per_second: float = 0.0
    renewals: int = 0
    patience_seconds: float = 5.0


@dataclass(frozen=True)
class Result:
    """What came of it.

    Attributes:
        answers: that were right.
        errors: what else came, by its kind: ``cut`` (closed or reset before the answer was whole), ``wrong``, ``late``,
            or why there was no connection.
        seconds: from the first request to the last answer.
        p50_ms: of right answers, from when the request was sent, or was due; infinite without one.
        p99_ms: the same.
        worst_ms: the same.
        cpu: the share of a core that the client took: from 0.95 on it is the client that was measured.
        renewed: the last answer that took the place of the right one, "" for none.
    """

    answers: int
    errors: dict[str, int]
    seconds: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    cpu: float
    renewed: str
