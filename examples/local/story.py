"""How the demo tells its story: numbered steps with times, and a table of what was proven at the end."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ("Proof", "Story", "StoryFailed")


class StoryFailed(Exception):  # noqa: N818 - the story failed; the program did what it should
    """A step did not hold; the text says which part and what was there instead."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What one step proved, by which evidence, and when."""

    claim: str
    evidence: str
    at_seconds: float


class Story:
    """Tells steps as they happen; plain text where standard output is no terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()  # noqa: TID251 - a measurement of real time
        self._number = 0
        self.proofs: list[Proof] = []

    @property
    def seconds(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self._began  # noqa: TID251 - as above

    def step(self, title: str) -> None:
        """Begin a step."""
        self._number += 1
        self._console.print(f"\n[bold]{self._number:2}. {escape(title)}[/bold]  [dim]{self.seconds:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """Tell one thing of the present step."""
        for line in text.splitlines():
            self._console.print(f"    {escape(line)}")

    def prove(self, claim: str, evidence: str) -> None:
        """Note what the present step proved."""
        self.proofs.append(Proof(claim, evidence, self.seconds))
        self._console.print(f"    [green]ok[/green] {escape(claim)}: {escape(evidence)}")

    def check(self, claim: str, *, holds: bool, evidence: str) -> None:
        """Prove a claim, or fail.

        Raises:
            StoryFailed: the claim does not hold.
        """
        if not holds:
            raise StoryFailed(f"{claim}: no: {evidence}")
        self.prove(claim, evidence)

    def until(self, claim: str, holds: Callable[[], bool], patience_seconds: float) -> float:
        """Wait until a claim holds, and return the seconds that it took.

        Raises:
            StoryFailed: it did not come to hold in time.
        """
        began = self.seconds
        while not holds():
            if self.seconds - began > patience_seconds:
                raise StoryFailed(f"{claim}: not within {patience_seconds:.0f} s")
            time.sleep(0.05)
        return self.seconds - began

    def end(self, failure: str = "") -> None:
        """Show the table of what was proven, and the first failure if there was one."""
        table = Table(title="What was proven", title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
        table.add_column("at", justify="right")
        table.add_column("claim")
        table.add_column("evidence", overflow="fold")
        for proof in self.proofs:
            table.add_row(f"{proof.at_seconds:.1f} s", escape(proof.claim), escape(proof.evidence))
        console = self._console if self._console.is_terminal else Console(highlight=False, width=160)
        if self.proofs:
            console.print()
            console.print(table)
        if failure:
            self._console.print(f"\n[red]FAILED[/red] {escape(failure)}")
        else:
            self._console.print(f"\n{len(self.proofs)} proven, 0 failed, in {self.seconds:.1f} s")
