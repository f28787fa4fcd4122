"""The one local world of a test process (see ``examples.local.fixtures``), and how hypothesis and botocore run."""

import functools
from collections.abc import Iterator

import botocore.loaders
import pytest
from hypothesis import HealthCheck, settings

from examples.local.fixtures import fresh_world, world

__all__ = ("fresh_world", "one_loader", "world")

# Machines are shared and slow at times: how long an example takes says nothing about the code.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


@pytest.fixture(scope="session", autouse=True)
def one_loader() -> Iterator[None]:
    """Let the sessions of a test process parse AWS's API descriptions once: commands that run in it make one each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", functools.cache(botocore.loaders.create_loader))
        yield
