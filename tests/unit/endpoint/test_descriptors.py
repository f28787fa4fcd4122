import resource

import pytest

from sidecar.endpoint.descriptors import Shares, share
from sidecar.limits import DESCRIPTORS_HELD_BACK


@pytest.mark.parametrize("nofile", [568, 1_024, 1_048_576, resource.RLIM_INFINITY])
def test_a_high_limit_has_no_effect(nofile: int) -> None:
    assert share(nofile) == Shares(endpoint=512, admin=16)


@pytest.mark.parametrize(
    ("nofile", "endpoint", "admin"),
    [(567, 511, 16), (512, 456, 16), (256, 200, 16), (64, 16, 8), (44, 3, 1), (20, 3, 1)],
)
def test_a_low_limit_is_divided_and_reported_with_the_fix(nofile: int, endpoint: int, admin: int) -> None:
    found = share(nofile)
    assert (found.endpoint, found.admin) == (endpoint, admin)
    (warning,) = found.warnings
    assert f"the limit of open files is {nofile}: " in warning
    assert f"accepts {endpoint} connections instead of 512, the admin port {admin} instead of 16" in warning
    assert "raise the limit" in warning
    assert warning.endswith("to 568 or more")


@pytest.mark.mutant("no descriptors are held back")
def test_connections_leave_the_reserved_descriptors_free() -> None:
    for nofile in range(DESCRIPTORS_HELD_BACK + 4, 1_000):
        found = share(nofile)
        assert min(found.endpoint, found.admin) > 0
        assert found.endpoint + found.admin + DESCRIPTORS_HELD_BACK <= nofile
