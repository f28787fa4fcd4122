"""Shows changes to a person or to a program: coloured on a terminal, plain text elsewhere, or one JSON document."""

import contextlib
import difflib
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, Protocol, TextIO

from sidecar.bootstrap.state import Account, Change

__all__ = ("JsonShow", "Show", "Status", "TextShow", "details", "headline")


class Status(StrEnum):
    """What became of a change."""

    PLANNED = "planned"
    DONE = "done"
    FAILED = "failed"
    NOT_DONE = "not-done"
    NEEDS_ADOPT = "needs-adopt"


class Show(Protocol):
    """Whom a set-up is told to as it goes on."""

    def account(self, account: Account) -> None:
        """Tell where it happens."""
        ...

    def note(self, text: str) -> None:
        """Tell something good to know."""
        ...

    def warning(self, text: str) -> None:
        """Tell something that will break."""
        ...

    def change(self, change: Change, status: Status) -> None:
        """Tell of a change."""
        ...

    def busy(self, text: str) -> contextlib.AbstractContextManager[None]:
        """Tell what is being done, for as long as the block takes."""
        ...

    def end(self, text: str, exit_code: int) -> None:
        """Tell how it ended; the last call."""
        ...


def headline(change: Change) -> str:
    """Return one line: what happens to what."""
    mark = "+" if change.before is None else "-" if change.after is None else "~"
    return f"{mark} {change.target}{f': {change.what}' if change.what else ''}{_inline(change)}  [{change.kind}]"


def details(change: Change) -> list[str]:
    """Return the difference that the headline has no room for, a line each, marked by -, + or a space."""
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
    """Tells a person.

    Args:
        out: gets everything but warnings.
        err: gets warnings.
        colour: whether `out` is a terminal; without the package rich it gets plain text all the same.
    """

    def __init__(self, out: TextIO, err: TextIO, *, colour: bool) -> None:
        self._out, self._err = out, err
        self._console = _console(out) if colour else None

    def account(self, account: Account) -> None:
        """Print where it happens."""
        self._line(f"account {account.id}, partition {account.partition}")

    def note(self, text: str) -> None:
        """Print it."""
        self._line(text)

    def warning(self, text: str) -> None:
        """Print it where warnings go."""
        self._err.write(f"warning: {text}\n")
        self._err.flush()

    def change(self, change: Change, status: Status) -> None:
        """Print the change, its difference, and what became of it where that is not what one expects."""
        told = "" if status in {Status.PLANNED, Status.DONE} else f"{status}: "
        self._line(told + headline(change), headline(change)[0])
        if change.why:
            self._line(f"    # {change.why}")
        for line in details(change):
            self._line(f"    {line}", line[0])

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Show on a terminal that something goes on."""
        if self._console is None:
            yield
            return
        with self._console.status(text):
            yield

    def end(self, text: str, exit_code: int) -> None:
        """Print how it ended."""
        del exit_code
        self._line(text)

    def _line(self, text: str, mark: str = "") -> None:
        # What others wrote into IAM must not move the cursor.
        text = "".join(character if character.isprintable() else "?" for character in text)
        if self._console is None:
            self._out.write(f"{text}\n")
            self._out.flush()
        else:
            # Names of roles and the like are no markup of ours, and the :key: in a subject is no emoji.
            style = _STYLES.get(mark)
            self._console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


_STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}


def _console(out: TextIO) -> Any:  # noqa: ANN401 - of a package that need not be there
    try:
        from rich.console import Console  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return Console(file=out)


class JsonShow:
    """Tells a program: one JSON document at the end.

    Args:
        out: gets it.
        mode: what was asked for.
    """

    def __init__(self, out: TextIO, mode: str) -> None:
        self._out = out
        self._document: dict[str, Any] = {"mode": mode, "changes": [], "notes": [], "warnings": []}

    def account(self, account: Account) -> None:
        """Keep it."""
        self._document |= {"account": account.id, "partition": account.partition}

    def note(self, text: str) -> None:
        """Keep it."""
        self._document["notes"].append(text)

    def warning(self, text: str) -> None:
        """Keep it."""
        self._document["warnings"].append(text)

    def change(self, change: Change, status: Status) -> None:
        """Keep it."""
        told = {"kind": change.kind, "target": change.target, "what": change.what}
        told |= {"before": change.before, "after": change.after, "why": change.why, "status": status}
        self._document["changes"].append(told)

    def busy(self, text: str) -> contextlib.AbstractContextManager[None]:
        """Tell nothing."""
        del text
        return contextlib.nullcontext()

    def end(self, text: str, exit_code: int) -> None:
        """Print the document."""
        json.dump(self._document | {"result": text, "exit_code": exit_code}, self._out, indent=2)
        self._out.write("\n")
