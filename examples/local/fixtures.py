"""pytest fixtures of the local world; a conftest imports what it wants from here.

    from examples.local.fixtures import fresh_world, world  # in conftest.py

`world` starts one World for the whole session, `fresh_world` is the same one, emptied before the test that takes it.
"""

from collections.abc import Iterator

import pytest

from examples.local.world import World


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The session's only World: moto keeps its state per process. Tests take `fresh_world`."""
    with World() as running:
        yield running


@pytest.fixture
def fresh_world(world: World) -> World:
    """The World with an empty AWS, no faults, a well-behaved issuer and the real time."""
    world.reset()
    return world
