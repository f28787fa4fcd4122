"""The profiles file: valid profiles, or one error without a value of the file."""

from sidecar.credentials.fingerprint import fingerprints
from tests.fuzz.engine import fuzz
from tests.fuzz.properties import read_profiles

__all__ = ("check",)


def check(data: bytes) -> None:
    """Use ``data`` as a profiles file."""
    profiles = read_profiles(data.decode("utf-8", "replace"))
    if profiles is not None:
        settings = fingerprints({profile.name: profile for profile in profiles})
        assert len(set(settings.values())) == len(profiles), "two profiles would share saved credentials"


if __name__ == "__main__":
    fuzz("profiles")
