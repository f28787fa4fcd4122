"""The demo's output: numbered steps with times, and a table of the checks at the end."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ("Check", "StepFailed", "Transcript")


class StepFailed(Exception):  # noqa: N818 - a failed step of a demo; no error of this module
    """A check failed; the text has its claim and the evidence."""


@dataclass(frozen=True, slots=True)
class Check:
    """A claim that holds, its evidence, and the seconds since the start when it was checked."""

    claim: str
    evidence: str
    at_seconds: float


class Transcript:
    """Prints steps as they happen; plain text where standard output is no terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()  # noqa: TID251 - a measurement of real time
        self._number = 0
        self.checks: list[Check] = []

    @property
    def seconds(self) -> float:
        """Seconds since the transcript began."""
        return time.monotonic() - self._began  # noqa: TID251 - as above

    def step(self, title: str) -> None:
        """Begin a step."""
        self._number += 1
        self._console.print(f"\n[bold]{self._number:2}. {escape(title)}[/bold]  [dim]{self.seconds:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """Print lines that belong to the current step."""
        for line in text.splitlines():
            self._console.print(f"    {escape(line)}")

    def record(self, claim: str, evidence: str) -> None:
        """Print a claim that holds, and keep it for the table."""
        self.checks.append(Check(claim, evidence, self.seconds))
        self._console.print(f"    [green]ok[/green] {escape(claim)}: {escape(evidence)}")

    def check(self, claim: str, *, holds: bool, evidence: str) -> None:
        """Record a claim that holds.

        Raises:
            StepFailed: the claim does not hold.
        """
        if not holds:
            raise StepFailed(f"{claim}: false: {evidence}")
        self.record(claim, evidence)

    def until(self, claim: str, holds: Callable[[], bool], timeout_seconds: float) -> float:
        """Wait until a claim holds, and return the seconds that it took.

        Raises:
            StepFailed: the claim did not hold within `timeout_seconds`.
        """
        began = self.seconds
        while not holds():
            if self.seconds - began > timeout_seconds:
                raise StepFailed(f"{claim}: not within {timeout_seconds:.0f} s")
            time.sleep(0.05)
        return self.seconds - began

    def end(self, failure: str = "") -> None:
        """Print the table of checks, and the failure if there was one."""
        table = Table(title="Checks that passed", title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
        table.add_column("at", justify="right")
        table.add_column("claim")
        table.add_column("evidence", overflow="fold")
        for check in self.checks:
            table.add_row(f"{check.at_seconds:.1f} s", escape(check.claim), escape(check.evidence))
        console = self._console if self._console.is_terminal else Console(highlight=False, width=160)
        if self.checks:
            console.print()
            console.print(table)
        if failure:
            self._console.print(f"\n[red]FAILED[/red] {escape(failure)}")
        else:
            self._console.print(f"\n{len(self.checks)} checks passed, 0 failed, in {self.seconds:.1f} s")
