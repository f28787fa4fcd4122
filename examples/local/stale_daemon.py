"""The real daemon with one defect: it serves the first credentials and ignores each refresh.

``make demo ARGS=--break=stale-credentials`` runs it, to show that the demo detects the defect.
"""

import sys

from sidecar import cli
from sidecar.credentials.store import Store
from sidecar.model import Held

_publish = Store.publish


def _publish_first_only(self: Store, profile: str, held: Held | None) -> None:
    if self.get(profile) is None:
        _publish(self, profile, held)


if __name__ == "__main__":
    Store.publish = _publish_first_only  # type: ignore[method-assign] # the defect
    sys.exit(cli.main(sys.argv[1:]))
