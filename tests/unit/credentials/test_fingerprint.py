"""The fingerprint of the settings that credentials depend on."""

from collections import UserDict
from dataclasses import replace

from sidecar.credentials.fingerprint import fingerprints
from sidecar.model import Profile
from tests.helpers.values import profile

LONGEST = 256


class Counted(UserDict[str, Profile]):
    """Profiles with a count of the reads."""

    reads = 0

    def __getitem__(self, name: str) -> Profile:
        self.reads += 1
        return super().__getitem__(name)


def test_each_profile_of_the_longest_chain_is_read_a_few_times() -> None:
    """A reload computes them on the event loop that answers applications."""
    names = [f"p{number}" for number in range(LONGEST)]
    sources = ["", *names]
    profiles = Counted(
        {name: replace(profile(name), source=source) for name, source in zip(names, sources, strict=False)}
    )
    before = fingerprints(profiles)
    assert profiles.reads < 3 * LONGEST
    first = replace(profile("p0"), region="eu-west-1")
    changed = fingerprints(profiles | {"p0": first})
    assert all(before[name] != changed[name] for name in names), "each of them depends on the first"
