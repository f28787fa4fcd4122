"""The profiles file: profiles that keep their promises, or one error that gives away nothing of the file."""

from sidecar.endpoint.state import fingerprints
from tests.fuzz.engine import fuzz
from tests.fuzz.promises import read_profiles

__all__ = ("check",)


def check(data: bytes) -> None:
    """Take ``data`` as a profiles file."""
    profiles = read_profiles(data.decode("utf-8", "replace"))
    if profiles is not None:
        marks = fingerprints({profile.name: profile for profile in profiles})
        assert len(set(marks.values())) == len(profiles), "two profiles would share a kept set"


if __name__ == "__main__":
    fuzz("profiles")
