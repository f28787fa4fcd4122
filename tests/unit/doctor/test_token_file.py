"""Detection of a token file that is mounted with subPath, and of a token from the future."""

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.doctor.checks import exchange, token_file
from sidecar.doctor.checks.token_file import CHECK, is_mounted_alone
from sidecar.doctor.result import CheckStatus
from sidecar.doctor.sts import Stage, StsProbe
from sidecar.model import Token
from tests.helpers.clock import FakeClock
from tests.helpers.values import token
from tests.unit.doctor.cases import accepted, case, with_error

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


NOW = FakeClock().now().wall
BAD_TOKEN = ("InvalidIdentityToken", "not yet valid")


def of_times(*, issued: float = 0.0, not_before: float = 0.0) -> Token:
    return replace(token(), issued_at=NOW + issued, not_before=NOW + not_before, expires_at=NOW + 3_600)


def probe(ahead: float) -> StsProbe:
    """Return an answer of STS, whose clock is ahead of this machine's."""
    return StsProbe("sts.test", 443, Stage.ANSWERED, "", "", NOW + ahead, NOW)


@pytest.mark.mutant("a token from the future is reported as one with a wrong signature")
@pytest.mark.parametrize(("claim", "of"), [("iat", of_times(issued=600)), ("nbf", of_times(not_before=600))])
def test_a_token_from_the_future_is_exact_with_both_times(claim: str, of: Token) -> None:
    made = with_error(case(token=of), *BAD_TOKEN)
    for check in (CHECK, exchange.CHECK):
        result = check.run(made)
        (finding,) = result.findings
        assert (finding.cause.name, result.exact) == ("token_from_future", True)
        assert finding.text(finding.cause.what).endswith(f"its {claim} is 600 s ahead of the clock of this node")
        (compared,) = finding.compared
        assert (compared.key, compared.wanted, compared.found) == (claim, (f"{NOW:.0f}",), (f"{NOW + 600:.0f}",))


def test_the_clock_of_sts_decides_whether_a_token_is_from_the_future() -> None:
    # The clock of this node is behind: the check `clock` names that, and the token is fine.
    behind = case(token=of_times(issued=600), sts=probe(600))
    assert CHECK.run(behind).status is CheckStatus.GOOD
    ahead = case(token=of_times(), sts=probe(-600))
    assert [finding.cause.name for finding in CHECK.run(ahead).findings] == ["token_from_future"]


def test_a_token_whose_times_sts_has_accepted_is_not_from_the_future() -> None:
    of = of_times(issued=600)
    assert CHECK.run(accepted(case(token=of))).status is CheckStatus.GOOD
    assert CHECK.run(with_error(case(token=of), "AccessDenied")).status is CheckStatus.GOOD
    assert CHECK.run(with_error(case(token=of_times(issued=4)), *BAD_TOKEN)).status is CheckStatus.GOOD
