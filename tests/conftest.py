"""The local world of the test process (see ``examples.local.fixtures``), and settings of hypothesis and botocore."""

import functools
import signal
from collections.abc import Iterator

import botocore.loaders
import pytest
from hypothesis import HealthCheck, settings

from examples.local.fixtures import fresh_world, world
from tests.helpers.long_cases import pytest_addoption, pytest_collection_modifyitems, pytest_runtest_logreport

__all__ = (
    "fresh_world", "one_loader", "pytest_addoption", "pytest_collection_modifyitems", "pytest_runtest_logreport",
    "world",
)  # fmt: skip

# Machines are shared and slow at times, so the time of an example is no property of the code.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")

# A shell without job control starts background jobs with SIGINT ignored, and children inherit that. The commands keep
# an ignored SIGINT, so tests that interrupt a command would fail.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def one_loader() -> Iterator[None]:
    """Parse AWS's API descriptions once for all botocore sessions: each command that runs in the process makes one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", functools.cache(botocore.loaders.create_loader))
        yield
