"""Compares a response with the expected one. Pure: bytes as the input, the name of the error as the result."""

import re
from typing import Final

__all__ = ("Expected", "is_short")

_DATE: Final = re.compile(rb"\r\ndate:[^\r]*", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_STATUS: Final = len("HTTP/1.1 200")


class Expected:
    """The expected response, byte for byte; only its Date may differ.

    Args:
        expected: the right response.
        refreshes: how many times another response with the same status may replace it.
    """

    def __init__(self, expected: bytes, refreshes: int = 0) -> None:
        self.expected = expected
        """The last right response; bytes that are equal to it are right."""
        self.refreshed = b""
        """The last response that replaced the right one."""
        self._right = {_DATE.sub(b"", expected)}
        self._refreshes = refreshes

    def error(self, whole: bytes) -> str:
        """Return the error of a response: ``cut`` or ``wrong``, "" for none."""
        if whole == self.expected:
            return ""
        undated = _DATE.sub(b"", whole)
        if undated not in self._right:
            if is_short(whole):
                return "cut"
            if not self._refreshes or whole[:_STATUS] != self.expected[:_STATUS]:
                return "wrong"
            self._refreshes -= 1
            self._right.add(undated)
            self.refreshed = whole
        self.expected = whole
        return ""


def is_short(whole: bytes) -> bool:
    """Return whether the response is incomplete, by its Content-Length."""
    head, blank, body = whole.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return not blank or (length is not None and len(body) < int(length[1]))
