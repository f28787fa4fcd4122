import io
import json

import pytest

from sidecar.log import Event, make_logger
from tests.helpers.clock import FakeClock


def test_a_line_is_one_json_object_with_the_time_of_the_clock() -> None:
    stream = io.StringIO()
    make_logger("info", FakeClock(wall=1_800_000_000.25), stream).info(Event.STARTED, version="1")
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue()) == {
        "ts": 1_800_000_000.25, "level": "info", "event": "started", "version": "1",
    }  # fmt: skip


def test_a_field_that_is_not_allowed_is_left_out_and_named() -> None:
    stream = io.StringIO()
    make_logger("info", FakeClock(), stream).info(Event.STARTED, token="hidden value", version="1")
    assert "hidden value" not in stream.getvalue()
    assert json.loads(stream.getvalue())["dropped"] == ["token"]


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("warning", 0), ("error", 0)])
def test_the_level_decides_what_is_written(level: str, lines: int) -> None:
    stream = io.StringIO()
    logger = make_logger(level, FakeClock(), stream)
    logger.debug(Event.EXCHANGE_STARTED)
    logger.info(Event.STARTED)
    assert stream.getvalue().count("\n") == lines
