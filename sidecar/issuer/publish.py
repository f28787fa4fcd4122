"""The published documents of a cluster's issuer: which keys they contain, and how they differ from the cluster. Pure.

A key set that AWS reads has to contain each key that signed a token which is still valid: a new key before it signs, an
old key until its last token has expired. Members of keys are those of RFC 7518, section 6.
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
    "Merged",
    "PublicKey",
    "differences",
    "discovery_document",
    "gone_document",
    "keys_document",
    "merge",
    "parse_gone",
    "public_keys",
)

KEYS_PATH: Final = "/openid/v1/jwks"
"""Path of an API server's key set: pkg/serviceaccount/openidmetadata.go of Kubernetes."""

# The kubelet replaces each token that is 24 hours old, for any lifetime (maxTTL, pkg/kubelet/token/token_manager.go),
# so no pod has an older one. One hour more: the kubelet checks every 90 s and has to reach the API server, AWS accepts
# a token up to 5 minutes after its expiration, and the documents may be cached for an hour (Cache-Control:
# max-age=3600).
KEEP_SECONDS: Final = 90_000

PublicKey = Mapping[str, str]
"""A public key as a JWK, with the members that a verifier needs and no others."""

# AssumeRoleWithWebIdentity accepts RS256 to RS512 and ES256 to ES512.
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
_OPTIONAL: Final = ("use", "alg")
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ALGORITHMS: Final = "id_token_signing_alg_values_supported"


@dataclass(frozen=True, slots=True)
class Merged:
    """The keys to publish.

    Attributes:
        keys: by `kid`: the keys of the cluster, then the kept keys, which the cluster no longer has.
        added: the `kid` of each key that was not published before.
        gone: for the `kid` of each kept key, when a run first found that the cluster does not have it; seconds since
            the epoch.
        dropped: the `kid` of each key that is no longer published.
    """

    keys: Mapping[str, PublicKey]
    added: tuple[str, ...]
    gone: Mapping[str, float]
    dropped: tuple[str, ...]

    def statuses(
        self, keep_seconds: float
    ) -> list[tuple[str, Literal["new", "published", "kept", "dropped"], float | None]]:
        """Return the `kid` and the status of each key, and for a kept key when it ends, in seconds since the epoch."""
        return [
            *((kid, "new" if kid in self.added else "published", None) for kid in self.keys if kid not in self.gone),
            *((kid, "kept", since + keep_seconds) for kid, since in self.gone.items()),
            *((kid, "dropped", None) for kid in self.dropped),
        ]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between the published documents and the cluster.

    Attributes:
        kind: the part that differs.
        text: what differs, and the consequence.
    """

    kind: Literal["document", "issuer", "jwks_uri", "key"]
    text: str


def public_keys(content: bytes) -> dict[str, PublicKey]:
    """Return the keys of a key set by `kid`, in its order, with their public members only.

    Raises:
        DocumentError: it is not a key set, it has no key, or a key of it has no kid, a duplicate kid, a type that AWS
            does not accept, or a private member.
    """
    listed = parse_object(content).get("keys")
    if not isinstance(listed, list) or not listed:
        raise DocumentError("has no keys")
    keys: dict[str, PublicKey] = {}
    for number, key in enumerate(listed, 1):
        if not isinstance(key, dict):
            raise DocumentError(f"key {number} is not an object")
        public = _public(key, number)
        if public["kid"] in keys:
            raise DocumentError(f"key {number} has the kid of another key")
        keys[public["kid"]] = public
    return keys


def merge(
    cluster: Mapping[str, PublicKey],
    published: Mapping[str, PublicKey],
    gone: Mapping[str, float],
    *,
    now: float,
    keep_seconds: float,
) -> Merged:
    """Return the keys to publish: the keys of the cluster, and for a time those that it no longer has.

    This time begins when a run first finds that a key is gone, not when a run last found it: months can be between two
    runs, and the key may have signed until shortly before the second.

    Args:
        cluster: the keys of the cluster by `kid`.
        published: the keys that are published now, by `kid`.
        gone: `Merged.gone` of the previous run; a key that is not in it was first found gone now.
        now: seconds since the epoch.
        keep_seconds: how long a key stays published after the cluster no longer has it; 0 keeps none.
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


def discovery_document(content: bytes, issuer: str, jwks_uri: str, keys: Mapping[str, PublicKey]) -> bytes:
    """Return a cluster's discovery document with this issuer and this URL of the key set.

    The algorithms of `keys` are added to those of the document: a kept key can have another algorithm than the key
    that the cluster signs with now.

    Raises:
        DocumentError: `content` is not a JSON object.
    """
    document = parse_object(content)
    named = document.get(_ALGORITHMS)
    algorithms = {name for name in (named if isinstance(named, list) else []) if isinstance(name, str)}
    algorithms |= {key["alg"] for key in keys.values() if "alg" in key}
    return _bytes(document | {"issuer": issuer, "jwks_uri": jwks_uri, _ALGORITHMS: sorted(algorithms)})


def keys_document(keys: Mapping[str, PublicKey]) -> bytes:
    """Return a key set (RFC 7517, section 5)."""
    return _bytes({"keys": [dict(key) for key in keys.values()]})


def gone_document(gone: Mapping[str, float]) -> bytes:
    """Return the content of the file that stores `Merged.gone`."""
    return _bytes({"gone": dict(gone)})


def parse_gone(content: bytes) -> dict[str, float]:
    """Return the times in a `gone_document`; a key whose time cannot be read is omitted, and is kept for longer."""
    try:
        gone = parse_object(content).get("gone")
    except DocumentError:
        return {}
    times = gone.items() if isinstance(gone, dict) else ()
    return {kid: float(time) for kid, time in times if isinstance(time, int | float) and 0 <= time < _END_OF_TIME}


def differences(
    issuer: str,
    jwks_uri: str,
    cluster: Mapping[str, PublicKey],
    discovery: Discovery,
    published: Mapping[str, PublicKey] | None,
) -> tuple[Difference, ...]:
    """Return the differences of the published documents; () if AWS can verify each token of the cluster.

    A published key that the cluster does not have is not a difference.

    Args:
        issuer: the `iss` of the tokens.
        jwks_uri: the expected URL of the key set.
        cluster: the keys of the cluster by `kid`.
        discovery: the published discovery document.
        published: the published keys by `kid`; None if they could not be read, which the caller reports.
    """
    found: list[Difference] = []
    if discovery.issuer != issuer:
        what = f"the published issuer is {discovery.issuer}, not {issuer}: AWS denies each exchange"
        found.append(Difference("issuer", what))
    if discovery.jwks_uri != jwks_uri:
        found.append(Difference("jwks_uri", f"the published jwks_uri is {discovery.jwks_uri}, not {jwks_uri}"))
    for kid, key in ({} if published is None else cluster).items():
        other = (published or {}).get(kid)
        if other is None:
            found.append(
                Difference("key", f"key {kid} is not published: AWS denies each exchange of a token that it signed")
            )
        elif any(other.get(name) != key[name] for name in ("kty", *_MEMBERS[key["kty"]])):
            what = f"key {kid} is published with another public key: AWS denies each exchange of a token that it signed"
            found.append(Difference("key", what))
    return tuple(found)


_END_OF_TIME: Final = 1 << 53


def _public(key: Mapping[str, Any], number: int) -> PublicKey:
    for name in _PRIVATE:
        if name in key:
            raise DocumentError(f"key {number} has the private member {name}")
    kind = key.get("kty")
    members = _MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None:
        raise DocumentError(f"key {number} has a kty that AWS does not accept: neither RSA nor EC")
    kid = key.get("kid")
    if not isinstance(kid, str) or not kid or not kid.isprintable():
        raise DocumentError(f"key {number} has no kid")
    names = ("kty", *(name for name in _OPTIONAL if name in key), *members)
    for name in names:
        if not isinstance(key.get(name), str) or not _VALUE.fullmatch(key[name]):
            raise DocumentError(f"key {number} has no valid {name}")
    return {"kty": key["kty"], "kid": kid} | {name: key[name] for name in names}


def _bytes(document: object) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
