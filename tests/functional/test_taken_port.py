"""A process of the pod that takes the endpoint's port while the daemon is away, and receives auth tokens."""

import socket
from collections.abc import Callable

import pytest

from examples.local.process import Sidecar

Run = Callable[..., Sidecar]


def file_of(sidecar: Sidecar) -> str:
    """Return the auth token that an application reads while the daemon does not listen."""
    return (sidecar.profile_directory / "auth-token").read_text()


@pytest.mark.mutant("auth tokens that a taken port disclosed stay valid")
def test_auth_tokens_that_another_process_could_receive_are_not_accepted_afterwards(run_sidecar: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    first = run_sidecar(endpoint_port=str(port))
    received = first.auth_token
    first.kill()
    with socket.create_server(("127.0.0.1", port)):
        stopped = run_sidecar(endpoint_port=str(port))
        line = stopped.wait_for("port_taken")
        assert line["level"] == "error"
        assert (line["endpoint_port"], "ss -tlnp" in line["fix"]) == (port, True)
        # Applications read the file again, and send what it has to the other process.
        received_later = file_of(stopped)
        assert stopped.terminate()[0] == 0
        second = run_sidecar(endpoint_port=str(port))
        second.wait_for("port_taken")
    # A start that finds the port free, after one that did not and was killed, must not trust the file either.
    assert second.wait_for("auth_tokens_replaced")["profiles"] == ["default"]
    assert second.get().status != 403
    for token in (received, received_later):
        assert second.get(token=token).status == 403
    assert second.metric("endpoint_port_taken") == 1


@pytest.mark.mutant("a restart trusts the auth token of a taken port")
def test_a_restart_does_not_trust_the_auth_token_that_was_in_use_while_the_port_was_taken(run_sidecar: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        waiting = run_sidecar(endpoint_port=port)
        waiting.wait_for("port_taken")
        decoy = file_of(waiting)
        waiting.kill()
    after = run_sidecar(endpoint_port=port)
    assert after.get(token=decoy).status == 403
    assert after.get().status != 403
