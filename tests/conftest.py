"""The one local world of a test process (see ``examples.local.fixtures``), and how hypothesis runs."""

from hypothesis import HealthCheck, settings

from examples.local.fixtures import fresh_world, world

__all__ = ("fresh_world", "world")

# Machines are shared and slow at times: how long an example takes says nothing about the code.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")
