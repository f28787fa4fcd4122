r"""The role session name, which shows in CloudTrail which pod made a call. Pure.

``<cluster>-<namespace>-<pod>`` in the alphabet and length that STS accepts (2 to 64 of ``[\w+=,.@-]``; AWS STS
API Reference). Where a name is cut, a hash of the whole name is added, so that two pods do not get the same name.
"""

import hashlib
import re

from sidecar.iam.names import NAME_CHARACTERS, SESSION_NAME
from sidecar.limits import SESSION_NAME_HASH_CHARS, SESSION_NAME_MAX_CHARS
from sidecar.model import Token

__all__ = ("make_session_name",)

_FOREIGN = re.compile(f"[^{NAME_CHARACTERS}]+")


def make_session_name(token: Token, cluster: str) -> str:
    """Return the session name for a token.

    If the token names no pod (outside Kubernetes), the session name is made from ``sub``.

    Args:
        token: its namespace, pod and subject are used.
        cluster: the first part of the name; no part of it if "".
    """
    parts = [part for part in (cluster, token.namespace, token.pod) if part]
    whole = "-".join(parts) if token.pod else "-".join(part for part in (cluster, token.subject) if part)
    clean = _FOREIGN.sub("-", whole)
    if SESSION_NAME.fullmatch(whole):
        return whole
    # Not for secrecy: it distinguishes two names that are equal after cutting or replacing.
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:SESSION_NAME_HASH_CHARS]
    return f"{clean[: SESSION_NAME_MAX_CHARS - SESSION_NAME_HASH_CHARS - 1]}-{digest}"
