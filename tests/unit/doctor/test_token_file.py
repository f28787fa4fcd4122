"""How a file that is mounted by subPath is told from a volume's."""

from pathlib import Path

import pytest

from sidecar.doctor.checks.token_file import CHECK, is_mounted_alone

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
91 22 0:45 / /var/run/secrets/aws-oidc-sidecar rw,relatime - tmpfs tmpfs rw
92 22 0:46 /..2026/token /alone/token ro,relatime - tmpfs tmpfs rw
93 22 0:46 /x /with\\040space/token ro,relatime - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "alone"),
    [
        ("/var/run/secrets/aws-oidc-sidecar/token", False),
        ("/alone/token", True),
        ("/with space/token", True),
        ("/alone", False),
    ],
)
def test_a_file_is_mounted_alone_where_it_is_a_mount_point(path: str, alone: bool) -> None:  # noqa: FBT001 - of a table
    assert is_mounted_alone(Path(path), MOUNTS) is alone


def test_a_subpath_has_a_cause_of_its_own() -> None:
    assert "token_by_subpath" in {cause.name for cause in CHECK.causes}
