"""Rows as a table: on a terminal, as plain text, and as a page of the documentation."""

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby

from tests.bench.rows import Row

__all__ = ("markdown", "missed", "plain", "show", "summary")

_HEAD = ("what", "ours", "compared with", "ratio", "bar")


def show(rows: Sequence[Row]) -> None:
    """Print the table: with rich if standard output is a terminal and rich is installed, else as plain text."""
    if sys.stdout.isatty():
        try:
            from rich.box import SIMPLE  # noqa: PLC0415 - optional
            from rich.console import Console  # noqa: PLC0415
            from rich.markup import escape  # noqa: PLC0415
            from rich.table import Table  # noqa: PLC0415
        except ImportError:
            pass
        else:
            console = Console(highlight=False)
            for section, members in _sections(rows):
                table = Table(
                    *_HEAD, title=section, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False
                )
                for row in members:
                    table.add_row(*(escape(cell) for cell in _cells(row)), style="red" if missed([row]) else "")
                console.print(table)
            return
    sys.stdout.write(plain(rows))


def plain(rows: Sequence[Row]) -> str:
    """Return the table in columns of fixed width."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]

    def line(texts: Sequence[str]) -> str:
        return "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip() + "\n"

    parts = [line(_HEAD)]
    for section, members in _sections(rows):
        parts.append(f"\n{section}\n")
        parts += [line(_cells(row)) for row in members]
    return "".join(parts)


def markdown(rows: Sequence[Row]) -> str:
    """Return a table for each section, each followed by the limits of its figures."""
    parts: list[str] = []
    for section, members in _sections(rows):
        parts += [f"## {section}\n\n", f"| {' | '.join(_HEAD)} |\n", f"|{'---|' * len(_HEAD)}\n"]
        parts += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in _cells(row))} |\n" for row in members]
        limits: dict[str, list[str]] = {}
        for row in members:
            if row.limit and row.what not in limits.setdefault(row.limit, []):
                limits[row.limit].append(row.what)
        parts += [
            "\nLimits:\n\n",
            *(f"- {'; '.join(whats)}: {limit}\n" for limit, whats in limits.items()),
            "\n",
        ]
    return "".join(parts)


def missed(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that missed their bar."""
    return [row for row in rows if row.bar is not None and not row.bar.met]


def summary(rows: Sequence[Row]) -> str:
    """Return the number of met bars, and the missed ones."""
    with_bar = [row for row in rows if row.bar is not None]
    lines = [f"{len(with_bar) - len(missed(rows))} of {len(with_bar)} bars met\n"]
    lines += [f"MISSED: {row.section}: {row.what}: {row.bar.text}\n" for row in missed(rows) if row.bar is not None]
    return "".join(lines)


def _sections(rows: Sequence[Row]) -> Iterable[tuple[str, list[Row]]]:
    # Sorted by first appearance, so that a section whose rows are not consecutive has one heading.
    order = list(dict.fromkeys(row.section for row in rows))
    ordered = sorted(rows, key=lambda row: order.index(row.section))
    return ((section, list(members)) for section, members in groupby(ordered, key=lambda row: row.section))


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    bar = "" if row.bar is None else f"{'met' if row.bar.met else 'MISSED'}: {row.bar.text}"
    return row.what, row.ours, row.beside, ratio, bar
