"""pytest fixtures of the local world; a conftest imports the ones that it needs.

    from examples.local.fixtures import fresh_world, world  # in conftest.py

`world` starts one World for the session; `fresh_world` is the same World, reset before the test that uses it.
"""

from collections.abc import Iterator

import pytest

from examples.local.world import World


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The World of the session: moto keeps its state per process. Tests use `fresh_world`."""
    with World() as running:
        yield running


@pytest.fixture
def fresh_world(world: World) -> World:
    """The World with an empty AWS, no faults, a well-behaved issuer and the real time."""
    world.reset()
    return world
