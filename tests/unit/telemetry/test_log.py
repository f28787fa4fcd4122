import io
import json
import threading

import pytest

from sidecar.telemetry.log import LineThread, LogEvent, make_logger
from tests.helpers.clock import FakeClock


def test_a_line_is_one_json_object_with_the_time_of_the_clock() -> None:
    stream = io.StringIO()
    make_logger("info", FakeClock(wall=1_800_000_000.25), stream).info(LogEvent.STARTED, version="1")
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue()) == {
        "ts": 1_800_000_000.25, "level": "info", "event": "started", "version": "1",
    }  # fmt: skip


@pytest.mark.rule("SDK 25")
@pytest.mark.mutant("a field that is not allowed is logged")
def test_a_field_that_is_not_allowed_is_left_out_and_named() -> None:
    stream = io.StringIO()
    make_logger("info", FakeClock(), stream).info(LogEvent.STARTED, token="hidden value", version="1")
    assert "hidden value" not in stream.getvalue()
    assert json.loads(stream.getvalue())["dropped"] == ["token"]


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("warning", 0), ("error", 0)])
def test_the_level_decides_what_is_written(level: str, lines: int) -> None:
    stream = io.StringIO()
    logger = make_logger(level, FakeClock(), stream)
    logger.debug(LogEvent.EXCHANGE_STARTED)
    logger.info(LogEvent.STARTED)
    assert stream.getvalue().count("\n") == lines


def test_lines_are_written_in_order_by_the_end() -> None:
    stream = io.StringIO()
    lines = LineThread(stream, FakeClock(wall=5.0))
    for number in range(100):
        lines.write(f"{number}\n")
    lines.stop(5)
    assert stream.getvalue().split() == [str(number) for number in range(100)]


class Stalled(io.StringIO):
    """A stream whose writes block until ``go`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.taken = threading.Semaphore(0)

    def write(self, line: str, /) -> int:
        self.go.wait(10)
        self.taken.release()
        return super().write(line)


def test_a_stalled_reader_does_not_block_and_dropped_lines_are_counted() -> None:
    stream = Stalled()
    lines = LineThread(stream, FakeClock(wall=5.0))
    for _ in range(3_000):
        lines.write("x\n")
    stream.go.set()
    for _ in range(500):
        stream.taken.acquire()
    lines.write("after\n")
    assert lines.stop(10)
    *before, dropped, after = stream.getvalue().splitlines()
    assert set(before) == {"x"}
    assert 1_000 <= len(before) <= 1_001
    assert json.loads(dropped) == {
        "ts": 5.0, "event": "lines_dropped", "level": "warning", "lines": 3_000 - len(before),
    }  # fmt: skip
    assert after == "after"


def test_stop_does_not_wait_for_a_stalled_stream() -> None:
    stream = Stalled()
    lines = LineThread(stream, FakeClock(wall=5.0))
    lines.write("x\n")
    assert not lines.stop(0.05)
    stream.go.set()


def test_a_reader_that_has_ended_is_no_error() -> None:
    class Gone(io.StringIO):
        def write(self, _line: str, /) -> int:
            raise BrokenPipeError

    lines = LineThread(Gone(), FakeClock())
    lines.write("x\n")
    assert lines.stop(5)
