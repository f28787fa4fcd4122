r"""The role session name: how CloudTrail shows which pod it was. Pure.

``<cluster>-<namespace>-<pod>`` in the alphabet and length that STS takes (2 to 64 of ``[\w+=,.@-]``; AWS STS
API Reference). What is cut is replaced by a hash of the whole, so that two pods never share a name by cutting.
"""

import hashlib
import re

from sidecar.limits import SESSION_NAME_MAX_CHARS
from sidecar.model import Token

__all__ = ("SESSION_NAME", "session_name")

SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
"""What STS takes, ASCII only: its ``\\w`` is not Unicode's."""

_FOREIGN = re.compile(r"[^A-Za-z0-9_+=,.@-]+")
_HASH_CHARS = 10


def session_name(token: Token, cluster: str) -> str:
    """Return the session name for a token.

    Outside Kubernetes, where no pod is named, it is made from ``sub``.

    Args:
        token: its namespace, pod and subject are used.
        cluster: put in front unless empty.
    """
    parts = [part for part in (cluster, token.namespace, token.pod) if part]
    whole = "-".join(parts) if token.pod else "-".join(part for part in (cluster, token.subject) if part)
    clean = _FOREIGN.sub("-", whole)
    if clean == whole and 2 <= len(clean) <= SESSION_NAME_MAX_CHARS:  # noqa: PLR2004 - STS's own minimum
        return clean
    # Not for secrecy: it tells apart two names that cutting or replacing made alike.
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    return f"{clean[: SESSION_NAME_MAX_CHARS - _HASH_CHARS - 1]}-{digest}"
