"""The rows of the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ("Bar", "Row", "Sample")


@dataclass(frozen=True)
class Sample:
    """The same figure, measured in several rounds.

    Attributes:
        values: one for each round, in ``unit``.
        unit: such as "ms" or "requests/s".
    """

    values: Sequence[float]
    unit: str

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.values)

    def __str__(self) -> str:
        """Return the median, followed by the minimum and the maximum."""
        texts = [f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in _ends(self)]
        return (
            f"{texts[0]} {self.unit} ({texts[1]} to {texts[2]})" if len(self.values) > 1 else f"{texts[0]} {self.unit}"
        )


@dataclass(frozen=True)
class Bar:
    """The limit of a row's figure.

    Attributes:
        text: the limit for people, such as ">= 1.2 x Go".
        met: whether this run met it.
    """

    text: str
    met: bool


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: the heading that the row belongs to.
        what: what was measured.
        ours: the figure, or the reason why there is none.
        beside: the compared figures, with their names; "" for none.
        ratio: `ours` divided by the compared figure, or the ratio of the bar; None without one.
        bar: the bar; None if there is none.
        limit: what limits this figure, one short clause, for docs/performance.md.
    """

    section: str
    what: str
    ours: str
    beside: str = ""
    ratio: float | None = None
    bar: Bar | None = None
    limit: str = ""


def _ends(sample: Sample) -> tuple[float, float, float]:
    return sample.median, min(sample.values), max(sample.values)
