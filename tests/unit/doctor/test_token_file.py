"""Detection of a token file that is mounted with subPath."""

from pathlib import Path

import pytest

from sidecar.doctor.checks import token_file
from sidecar.doctor.checks.token_file import CHECK, is_mounted_alone
from tests.unit.doctor.cases import case

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
91 22 0:45 / /var/run/secrets/aws-oidc-sidecar rw,relatime - tmpfs tmpfs rw
92 22 0:46 /..2026/token /alone/token ro,relatime - tmpfs tmpfs rw
93 22 0:46 /x /with\\040space/token ro,relatime - tmpfs tmpfs rw
"""


@pytest.mark.mutant("a token mounted by subPath counts as mounted from a volume")
@pytest.mark.parametrize(
    ("path", "alone"),
    [
        ("/var/run/secrets/aws-oidc-sidecar/token", False),
        ("/alone/token", True),
        ("/with space/token", True),
        ("/alone", False),
    ],
)
def test_a_file_is_mounted_alone_if_it_is_a_mount_point(path: str, alone: bool) -> None:  # noqa: FBT001 - of a table
    assert is_mounted_alone(Path(path), MOUNTS) is alone


def test_a_subpath_is_detected_through_a_symlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As /var/run, a symlink to /run: the table of mounts has the path without symlinks.
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "run")
    mounts = f"92 22 0:46 /token {tmp_path}/run/token ro - tmpfs tmpfs rw\n"
    monkeypatch.setattr(token_file, "_mounts", lambda: mounts)
    made = case({"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "var/token")})
    assert [finding.cause.name for finding in CHECK.run(made).findings] == ["token_by_subpath"]


def test_a_subpath_has_a_cause_of_its_own() -> None:
    assert "token_by_subpath" in {cause.name for cause in CHECK.causes}
