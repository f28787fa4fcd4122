"""What a measurement becomes: one row of the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ("Bar", "Row", "Sample")


@dataclass(frozen=True)
class Sample:
    """The same thing measured in several rounds.

    Attributes:
        values: one for each round, in ``unit``.
        unit: such as "ms" or "requests/s".
    """

    values: Sequence[float]
    unit: str

    @property
    def median(self) -> float:
        """Half of the rounds were above."""
        return median(self.values)

    def __str__(self) -> str:
        """Return the median and, behind it, the least and the greatest round."""
        texts = [f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in _ends(self)]
        return (
            f"{texts[0]} {self.unit} ({texts[1]} to {texts[2]})" if len(self.values) > 1 else f"{texts[0]} {self.unit}"
        )


@dataclass(frozen=True)
class Bar:
    """What a row has to reach.

    Attributes:
        text: as people read it, such as ">= 1.2 x Go".
        met: whether this run did.
    """

    text: str
    met: bool


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: a heading; rows of one section stand together.
        what: what was measured.
        ours: the figure, or the reason why there is none.
        beside: the figure of what stands beside it, with its name; "" for nothing.
        ratio: ours divided by that, or as the bar has it; None without one.
        bar: None where no bar is set.
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
