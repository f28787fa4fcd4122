import asyncio
import sys

import pytest

from sidecar.exchange.process import start_worker
from tests.helpers.values import token

SAYS = "import sys; line = sys.stdin.readline(); sys.stderr.write(line); sys.stderr.flush(); print('{}', flush=True)"


@pytest.mark.mutant("the child process inherits standard error")
def test_standard_error_of_the_child_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback of the child would quote the request, and the request has the token."""

    async def scenario() -> None:
        async with start_worker([sys.executable, "-I", "-S", "-c", SAYS], {}) as worker:
            worker.send({"token": token().raw})
            assert await worker.receive() == {}

    asyncio.run(scenario())
    assert capfd.readouterr() == ("", "")
