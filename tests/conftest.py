"""The one local world of a test process; see ``examples.local.fixtures``."""

from examples.local.fixtures import fresh_world, world

__all__ = ("fresh_world", "world")
