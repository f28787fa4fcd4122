"""The tags that mark a provider or a role as created or adopted by this command. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from sidecar.bootstrap.spec import Issuer
from sidecar.bootstrap.state import Change

__all__ = ("is_adopted", "is_managed", "own_tags", "tag_list", "with_tags")

_MANAGED_BY_KEY: Final = "managed-by"
_MANAGED_BY: Final = "aws-oidc-sidecar"
_ISSUER_KEY: Final = "aws-oidc-sidecar/issuer"
_ADOPTED_KEY: Final = "aws-oidc-sidecar/adopted"
_NOT_IN_A_TAG: Final = re.compile(r"[^\w\s.:/=+\-@]")


def own_tags(issuer: Issuer) -> dict[str, str]:
    """Return the tags of an object that this command created for this issuer."""
    return {_MANAGED_BY_KEY: _MANAGED_BY, _ISSUER_KEY: _NOT_IN_A_TAG.sub("_", issuer.url.removeprefix("https://"))}


def is_managed(tags: Mapping[str, str], issuers: Iterable[Issuer]) -> bool:
    """Return whether this command created or adopted an object with these tags, for one of these issuers."""
    return any(own_tags(issuer).items() <= tags.items() for issuer in issuers)


def is_adopted(tags: Mapping[str, str]) -> bool:
    """Return whether an object that `is_managed` was adopted: another client had created it."""
    return tags.get(_ADOPTED_KEY) == "true"


def with_tags(
    changes: list[Change],
    tag: Change,
    existing: Mapping[str, str],
    tags: Mapping[str, str],
    own: Mapping[str, str],
    *,
    managed: bool,
    adopt: bool,
) -> list[Change]:
    """Return the changes and the change of the tags; all are marked as foreign without `managed` and `adopt`.

    Args:
        changes: the other changes of one object.
        tag: the change that tags it, with the parameters that identify it.
        existing: its current tags.
        tags: the configured tags.
        own: the tags of `own_tags`.
        managed: whether the object has the tags of `own_tags`.
        adopt: whether to add them.
    """
    wanted = dict(tags)
    if managed or adopt:
        wanted |= own
    if adopt and not managed:
        wanted[_ADOPTED_KEY] = "true"
    missing = {key: value for key, value in wanted.items() if existing.get(key) != value}
    if missing:
        before = {key: existing[key] for key in missing if key in existing}
        parameters = {**tag.parameters, "Tags": tag_list(missing)}
        lost = tuple(f"tag {key}={value}" for key, value in before.items() if key in tags)
        change = replace(tag, parameters=parameters, what="tags", before=before, after=missing, removes=lost)
        changes = [*changes, change]
    return changes if managed or adopt else [replace(change, foreign=True) for change in changes]


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in the form of the IAM API."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
