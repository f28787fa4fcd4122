"""A fingerprint of the settings that credentials depend on, as a text to compare and store. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple, replace

from sidecar.model import AssumeRoleResult, OnChange, Profile

__all__ = ("fingerprints", "survives")


def fingerprints(profiles: Mapping[str, Profile]) -> dict[str, str]:
    """Return the fingerprint of each profile; it changes when a setting changes that its credentials depend on.

    The settings of its source are part of it; ``served`` and ``on_change`` are not.

    Args:
        profiles: by name, with all sources.
    """
    computed: dict[str, str] = {}

    def fingerprint(profile: Profile) -> str:
        # Once for each profile: a chain of 256 would be read 256 times, on the event loop that answers applications.
        if profile.name not in computed:
            compared = replace(profile, served=True, on_change=OnChange.KEEP)
            source = fingerprint(profiles[profile.source]) if profile.source else ""
            computed[profile.name] = hashlib.sha256(json.dumps([astuple(compared), source]).encode()).hexdigest()
        return computed[profile.name]

    return {name: fingerprint(profile) for name, profile in profiles.items()}


def survives(result: AssumeRoleResult, profile: Profile) -> bool:
    """Return whether credentials of previous settings may be served under the settings of ``profile``.

    The role is compared, not the roles of its sources: the application acts as this role.
    """
    return profile.on_change is OnChange.KEEP or result.credentials.role_arn == profile.role_arn
