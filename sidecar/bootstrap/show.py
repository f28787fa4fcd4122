"""Prints changes: as coloured text on a terminal, as plain text elsewhere, or as one JSON document."""

import contextlib
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol, TextIO

from sidecar.bootstrap.state import Account, Change

__all__ = ("ChangeStatus", "JsonShow", "Show", "TextShow", "details", "headline")


class ChangeStatus(StrEnum):
    """The result of a change."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"
    NOT_DONE = "not-done"
    NEEDS_ADOPT = "needs-adopt"


class Show(Protocol):
    """Receives the progress and the result of a run."""

    def account(self, account: Account) -> None:
        """Report the account that is changed."""
        ...

    def note(self, text: str) -> None:
        """Report information."""
        ...

    def warning(self, text: str) -> None:
        """Report something that fails now or will fail later."""
        ...

    def removes(self, lines: Sequence[str]) -> None:
        """Report what the following changes remove or shorten; at least one line."""
        ...

    def change(self, change: Change, status: ChangeStatus) -> None:
        """Report a change and its result."""
        ...

    def busy(self, text: str) -> contextlib.AbstractContextManager[None]:
        """Report the current step, until the block ends."""
        ...

    def end(self, text: str, exit_code: int) -> None:
        """Report the result of the run; the last call."""
        ...


def headline(change: Change) -> str:
    """Return one line with the target and the change."""
    mark = "+" if change.before is None else "-" if change.after is None else "~"
    return f"{mark} {change.target}{f': {change.what}' if change.what else ''}{_inline(change)}  [{change.kind}]"


def details(change: Change) -> list[str]:
    """Return the lines of a difference that does not fit into the headline, each marked by -, + or a space."""
    if not isinstance(change.before or change.after, Mapping):
        return []
    before, after = (_lines(value) for value in (change.before, change.after))
    return [line for line in difflib.ndiff(before, after) if not line.startswith("?")]


def _inline(change: Change) -> str:
    if isinstance(change.before or change.after, Mapping):
        return ""
    shown = [_plain(value) for value in (change.before, change.after) if value is not None]
    return f" {' -> '.join(shown)}"


def _plain(value: Any) -> str:  # noqa: ANN401 - of a change
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _lines(value: Any) -> list[str]:  # noqa: ANN401 - of a change
    return [] if value is None else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True).splitlines()


class TextShow:
    """Prints text.

    Args:
        out: receives everything except warnings.
        err: receives warnings.
        colour: whether `out` is a terminal; without the package rich the text is plain there too.
    """

    def __init__(self, out: TextIO, err: TextIO, *, colour: bool) -> None:
        self._out, self._err = out, err
        self._console = _console(out) if colour else None

    def account(self, account: Account) -> None:
        """Print the account."""
        self._line(f"account {account.id}, partition {account.partition}")

    def note(self, text: str) -> None:
        """Print the text."""
        self._line(text)

    def warning(self, text: str) -> None:
        """Print the warning to `err`."""
        self._err.write(f"warning: {text}\n")
        self._err.flush()

    def removes(self, lines: Sequence[str]) -> None:
        """Print the lines, before the changes."""
        self._line("to be removed or shortened:")
        for line in lines:
            self._line(f"  - {line}", "-")

    def change(self, change: Change, status: ChangeStatus) -> None:
        """Print the change and its difference, and the status if it is neither planned nor done."""
        prefix = "" if status in {ChangeStatus.PLANNED, ChangeStatus.DONE} else f"{status}: "
        self._line(prefix + headline(change), headline(change)[0])
        if change.why:
            self._line(f"    # {change.why}")
        for line in details(change):
            self._line(f"    {line}", line[0])

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show the current step on a terminal."""
        if self._console is None:
            yield
            return
        with self._console.status(text):
            yield

    def end(self, text: str, exit_code: int) -> None:
        """Print the result."""
        del exit_code
        self._line(text)

    def _line(self, text: str, mark: str = "") -> None:
        # A name in IAM with control characters must not move the cursor.
        text = "".join(character if character.isprintable() else "?" for character in text)
        if self._console is None:
            self._out.write(f"{text}\n")
            self._out.flush()
        else:
            # A name in IAM is not markup, and the :key: in a subject is not an emoji.
            style = _STYLES.get(mark)
            self._console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


_STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}


def _console(out: TextIO) -> Any:  # noqa: ANN401 - of an optional package
    try:
        from rich.console import Console  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return Console(file=out)


class JsonShow:
    """Prints one JSON document at the end.

    Args:
        out: receives the document.
        mode: "plan", "check", "apply" or "destroy".
    """

    def __init__(self, out: TextIO, mode: str) -> None:
        self._out = out
        self._document: dict[str, Any] = {"mode": mode, "removes": [], "changes": [], "notes": [], "warnings": []}

    def account(self, account: Account) -> None:
        """Add the account to the document."""
        self._document |= {"account": account.id, "partition": account.partition}

    def note(self, text: str) -> None:
        """Add the text to `notes`."""
        self._document["notes"].append(text)

    def warning(self, text: str) -> None:
        """Add the text to `warnings`."""
        self._document["warnings"].append(text)

    def removes(self, lines: Sequence[str]) -> None:
        """Add the lines to `removes`."""
        self._document["removes"] += lines

    def change(self, change: Change, status: ChangeStatus) -> None:
        """Add the change to `changes`."""
        entry = {"kind": change.kind, "target": change.target, "what": change.what}
        entry |= {"before": change.before, "after": change.after, "why": change.why, "status": status}
        self._document["changes"].append(entry)

    def busy(self, text: str) -> contextlib.AbstractContextManager[None]:
        """Do nothing."""
        del text
        return contextlib.nullcontext()

    def end(self, text: str, exit_code: int) -> None:
        """Print the document."""
        json.dump(self._document | {"result": text, "exit_code": exit_code}, self._out, indent=2)
        self._out.write("\n")
