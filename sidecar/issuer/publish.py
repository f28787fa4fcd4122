"""What is published of a cluster's issuer, from bytes to bytes: documents, keys that are kept, differences. Pure.

A key set that AWS reads has to be a superset of the keys whose tokens are about: the new key before it signs, the old
one until its last token is over. Members of keys are those of RFC 7518, section 6.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sidecar.issuer.documents import Discovery, DocumentError, parse_object

__all__ = (
    "KEEP_SECONDS",
    "KEYS_PATH",
    "Difference",
    "Key",
    "Merged",
    "differences",
    "discovery_document",
    "gone_document",
    "keys_document",
    "merge",
    "parse_gone",
    "public_keys",
)

KEYS_PATH: Final = "/openid/v1/jwks"
"""Where an API server has its key set: pkg/serviceaccount/openidmetadata.go of Kubernetes."""

# The kubelet replaces each token that is 24 hours old, whatever its life (maxTTL, pkg/kubelet/token/token_manager.go),
# so no pod holds an older one. An hour more: the kubelet looks every 90 s and has to reach the API server, AWS takes a
# token up to 5 minutes after its end, and the documents may be cached for an hour (Cache-Control: max-age=3600).
KEEP_SECONDS: Final = 90_000

Key = Mapping[str, str]
"""A public key as a JWK, with nothing but what a verifier needs."""

# What AssumeRoleWithWebIdentity takes: RS256 to RS512 and ES256 to ES512.
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
_OPTIONAL: Final = ("use", "alg")
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ALGORITHMS: Final = "id_token_signing_alg_values_supported"


@dataclass(frozen=True, slots=True)
class Merged:
    """What is to be published.

    Attributes:
        keys: by `kid`: those of the cluster, then those that are kept.
        added: the `kid` of each that was not published before.
        gone: of each that is kept, when a look first found it gone from the cluster's set; seconds since the epoch.
        dropped: the `kid` of each that is published no more.
    """

    keys: Mapping[str, Key]
    added: tuple[str, ...]
    gone: Mapping[str, float]
    dropped: tuple[str, ...]

    def told(
        self, keep_seconds: float
    ) -> list[tuple[str, Literal["new", "published", "kept", "dropped"], float | None]]:
        """Return of each key its `kid`, what becomes of it, and for one that is kept until when."""
        return [
            *((kid, "new" if kid in self.added else "published", None) for kid in self.keys if kid not in self.gone),
            *((kid, "kept", since + keep_seconds) for kid, since in self.gone.items()),
            *((kid, "dropped", None) for kid in self.dropped),
        ]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which published documents do not fit the cluster.

    Attributes:
        kind: which.
        text: for people: what differs, and what follows from it.
    """

    kind: Literal["document", "issuer", "jwks_uri", "key"]
    text: str


def public_keys(content: bytes) -> dict[str, Key]:
    """Return the keys of a key set by `kid`, in its order, with their public members alone.

    Raises:
        DocumentError: it is no key set, has no key, or has one without a kid, with one that another has, of a kind
            that AWS does not take, or with a private member.
    """
    listed = parse_object(content).get("keys")
    if not isinstance(listed, list) or not listed:
        raise DocumentError("has no keys")
    keys: dict[str, Key] = {}
    for number, key in enumerate(listed, 1):
        if not isinstance(key, dict):
            raise DocumentError(f"has no object as key {number}")
        public = _public(key, number)
        if public["kid"] in keys:
            raise DocumentError(f"has the kid of key {number} twice")
        keys[public["kid"]] = public
    return keys


def merge(
    cluster: Mapping[str, Key],
    published: Mapping[str, Key],
    gone: Mapping[str, float],
    *,
    now: float,
    keep_seconds: float,
) -> Merged:
    """Return what to publish: every key of the cluster, and for a while those that it no longer has.

    The while begins when a key is first found gone, not when it was last seen: between two looks can be months, in all
    of which it signed.

    Args:
        cluster: its keys by `kid`.
        published: what is published now.
        gone: `Merged.gone` of the last time; what is not in it is found gone now.
        now: seconds since the epoch.
        keep_seconds: how long; 0 keeps none.
    """
    keys, kept, dropped = dict(cluster), dict[str, float](), list[str]()
    for kid, key in published.items():
        if kid in cluster:
            continue
        since = min(gone.get(kid, now), now)
        if now - since >= keep_seconds:
            dropped.append(kid)
        else:
            keys[kid], kept[kid] = key, since
    return Merged(keys, tuple(kid for kid in cluster if kid not in published), kept, tuple(dropped))


def discovery_document(content: bytes, issuer: str, jwks_uri: str, keys: Mapping[str, Key]) -> bytes:
    """Return a cluster's discovery document as it is published: with this issuer and this place of the keys.

    The algorithms of `keys` join those that it names: a kept key can be of another than the cluster signs with now.

    Raises:
        DocumentError: it is no JSON object.
    """
    document = parse_object(content)
    named = document.get(_ALGORITHMS)
    algorithms = {name for name in (named if isinstance(named, list) else []) if isinstance(name, str)}
    algorithms |= {key["alg"] for key in keys.values() if "alg" in key}
    return _bytes(document | {"issuer": issuer, "jwks_uri": jwks_uri, _ALGORITHMS: sorted(algorithms)})


def keys_document(keys: Mapping[str, Key]) -> bytes:
    """Return a key set (RFC 7517, section 5)."""
    return _bytes({"keys": [dict(key) for key in keys.values()]})


def gone_document(gone: Mapping[str, float]) -> bytes:
    """Return `Merged.gone` as a file keeps it."""
    return _bytes({"gone": dict(gone)})


def parse_gone(content: bytes) -> dict[str, float]:
    """Return what `gone_document` wrote; what cannot be read is left out, and that key is kept the longer for it."""
    try:
        gone = parse_object(content).get("gone")
    except DocumentError:
        return {}
    times = gone.items() if isinstance(gone, dict) else ()
    return {kid: float(time) for kid, time in times if isinstance(time, int | float) and 0 <= time < _END_OF_TIME}


def differences(
    issuer: str, jwks_uri: str, cluster: Mapping[str, Key], discovery: Discovery, published: Mapping[str, Key] | None
) -> tuple[Difference, ...]:
    """Return in what published documents do not fit; () where AWS can verify each token of the cluster.

    A published key that the cluster does not have is no difference.

    Args:
        issuer: what the tokens' `iss` is.
        jwks_uri: where the keys are meant to be.
        cluster: its keys by `kid`.
        discovery: the published document.
        published: the published keys by `kid`; None where they could not be read, which is told elsewhere.
    """
    found: list[Difference] = []
    if discovery.issuer != issuer:
        what = f"the published issuer is {discovery.issuer}, not {issuer}: AWS refuses every token"
        found.append(Difference("issuer", what))
    if discovery.jwks_uri != jwks_uri:
        found.append(Difference("jwks_uri", f"the published jwks_uri is {discovery.jwks_uri}, not {jwks_uri}"))
    for kid, key in ({} if published is None else cluster).items():
        other = (published or {}).get(kid)
        if other is None:
            found.append(Difference("key", f"key {kid} is not published: AWS refuses every token that it signs"))
        elif any(other.get(name) != key[name] for name in ("kty", *_MEMBERS[key["kty"]])):
            what = f"key {kid} is published with another public key: AWS refuses every token that it signs"
            found.append(Difference("key", what))
    return tuple(found)


_END_OF_TIME: Final = 1 << 53


def _public(key: Mapping[str, Any], number: int) -> Key:
    for name in _PRIVATE:
        if name in key:
            raise DocumentError(f"has a private key: {name} of key {number}")
    kind = key.get("kty")
    members = _MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None:
        raise DocumentError(f"has a key that AWS does not take: kty of key {number} is neither RSA nor EC")
    kid = key.get("kid")
    if not isinstance(kid, str) or not kid or not kid.isprintable():
        raise DocumentError(f"has no kid in key {number}")
    names = ("kty", *(name for name in _OPTIONAL if name in key), *members)
    for name in names:
        if not isinstance(key.get(name), str) or not _VALUE.fullmatch(key[name]):
            raise DocumentError(f"has no usable {name} in key {number}")
    return {"kty": key["kty"], "kid": kid} | {name: key[name] for name in names}


def _bytes(document: object) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
