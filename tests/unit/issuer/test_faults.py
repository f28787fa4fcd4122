"""Properties of every fault of an issuer; what each one is told by is tested in test_answers.py."""

import re

import pytest

from sidecar.exits import Exit
from sidecar.issuer import faults
from sidecar.issuer.faults import FAULTS, IssuerFault


def test_each_fault_is_in_the_table_once() -> None:
    named = [value for value in vars(faults).values() if isinstance(value, IssuerFault)]
    assert len({fault.name for fault in named}) == len(named)
    assert set(named) == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_waiting_helps_exactly_with_exit_code_3(fault: IssuerFault) -> None:
    assert fault.exit_code in {Exit.ISSUER, Exit.UNREACHABLE}
    assert fault.temporary is (fault.exit_code == Exit.UNREACHABLE)


def test_no_fix_of_an_inside_host_opens_it_to_the_internet() -> None:
    assert not re.search(r"\bopen\b|\bport 443\b", faults.INSIDE.fix)
    assert "publish-issuer" in faults.INSIDE.fix
    assert "managed issuer" in faults.INSIDE.fix
