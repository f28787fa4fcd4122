"""The real daemon with one defect put in: the first set that it got is served for ever.

``make demo ARGS=--break=stale-set`` runs it, to show that the demo notices.
"""

import sys

from sidecar import cli
from sidecar.credentials.store import Store
from sidecar.model import Held

_publish = Store.publish


def _first_set_only(self: Store, profile: str, held: Held | None) -> None:
    if self.get(profile) is None:
        _publish(self, profile, held)


if __name__ == "__main__":
    Store.publish = _first_set_only  # type: ignore[method-assign] # the defect
    sys.exit(cli.main(sys.argv[1:]))
