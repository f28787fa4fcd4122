"""Whose a provider or a role is, by the tags that it got when it was made. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from sidecar.bootstrap.spec import Issuer
from sidecar.bootstrap.state import Change

__all__ = ("is_adopted", "is_ours", "own_tags", "owned", "tag_list")

_MANAGED_BY_KEY: Final = "managed-by"
_MANAGED_BY: Final = "aws-oidc-sidecar"
_ISSUER_KEY: Final = "aws-oidc-sidecar/issuer"
_ADOPTED_KEY: Final = "aws-oidc-sidecar/adopted"
_NOT_IN_A_TAG: Final = re.compile(r"[^\w\s.:/=+\-@]")


def own_tags(issuer: Issuer) -> dict[str, str]:
    """Return the tags that mark an object as made by this command, for this issuer."""
    return {_MANAGED_BY_KEY: _MANAGED_BY, _ISSUER_KEY: _NOT_IN_A_TAG.sub("_", issuer.url.removeprefix("https://"))}


def is_ours(tags: Mapping[str, str], issuers: Iterable[Issuer]) -> bool:
    """Return whether an object with these tags is ours, for one of these issuers."""
    return any(own_tags(issuer).items() <= tags.items() for issuer in issuers)


def is_adopted(tags: Mapping[str, str]) -> bool:
    """Return whether an object that is ours was somebody else's before."""
    return tags.get(_ADOPTED_KEY) == "true"


def owned(
    changes: list[Change],
    tag: Change,
    there: Mapping[str, str],
    tags: Mapping[str, str],
    own: Mapping[str, str],
    *,
    ours: bool,
    adopt: bool,
) -> list[Change]:
    """Return the changes with that of the tags; all marked as foreign where the object is and stays somebody else's.

    Args:
        changes: of one object.
        tag: the change that tags it, with the parameters that name it.
        there: its tags.
        tags: which somebody asked for.
        own: which mark it as ours.
        ours: whether it is.
        adopt: whether it is to be.
    """
    wanted = dict(tags)
    if ours or adopt:
        wanted |= own
    if adopt and not ours:
        wanted[_ADOPTED_KEY] = "true"
    missing = {key: value for key, value in wanted.items() if there.get(key) != value}
    if missing:
        before = {key: there[key] for key in missing if key in there}
        parameters = {**tag.parameters, "Tags": tag_list(missing)}
        changes = [*changes, replace(tag, parameters=parameters, what="tags", before=before, after=missing)]
    return changes if ours or adopt else [replace(change, foreign=True) for change in changes]


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as the API has them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
