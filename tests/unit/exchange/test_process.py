import asyncio
import sys

import pytest

from sidecar.exchange.process import start_worker
from tests.helpers.values import token

SAYS = "import sys; line = sys.stdin.readline(); sys.stderr.write(line); sys.stderr.flush(); print('{}', flush=True)"


def test_what_the_child_writes_to_standard_error_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback of the child would quote the order, and the order has the token."""

    async def story() -> None:
        async with start_worker([sys.executable, "-I", "-S", "-c", SAYS], {}) as worker:
            worker.send({"token": token().raw})
            assert await worker.receive() == {}

    asyncio.run(story())
    assert capfd.readouterr() == ("", "")
