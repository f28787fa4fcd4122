"""Is this the right answer? Pure: bytes in, verdict out."""

import re
from typing import Final

__all__ = ("Judge", "is_short")

_DATE: Final = re.compile(rb"\r\ndate:[^\r]*", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_STATUS: Final = len("HTTP/1.1 200")


class Judge:
    """Knows the right answer, byte for byte; only its Date may be another one.

    Args:
        expected: the right answer.
        renewals: how often another answer of the same status may take its place.
    """

    def __init__(self, expected: bytes, renewals: int = 0) -> None:
        self.expected = expected
        """The right answer that was seen last; what equals it needs no verdict."""
        self.renewed = b""
        """The last one that took the place of the right one."""
        self._right = {_DATE.sub(b"", expected)}
        self._renewals = renewals

    def error(self, whole: bytes) -> str:
        """Return what is wrong with all that came as an answer: ``cut`` or ``wrong``, "" for nothing."""
        if whole == self.expected:
            return ""
        undated = _DATE.sub(b"", whole)
        if undated not in self._right:
            if is_short(whole):
                return "cut"
            if not self._renewals or whole[:_STATUS] != self.expected[:_STATUS]:
                return "wrong"
            self._renewals -= 1
            self._right.add(undated)
            self.renewed = whole
        self.expected = whole
        return ""


def is_short(whole: bytes) -> bool:
    """Whether more has to come, by the answer's own length."""
    head, blank, body = whole.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return not blank or (length is not None and len(body) < int(length[1]))
