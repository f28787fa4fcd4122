"""An error in one check does not hide the results of the others."""

from examples.local.loopback import LoopbackHandler, LoopbackServer
from sidecar.commands.doctor import _run_check
from sidecar.doctor.checks import daemon
from sidecar.doctor.result import Check, CheckResult, CheckStatus
from tests.unit.doctor.cases import case


def test_an_error_in_a_check_makes_its_result_unknown_and_is_not_quoted() -> None:
    def run(_: object) -> CheckResult:
        raise KeyError("a-secret")

    result = _run_check(Check("name", "title", "", (), run), case())
    assert (result.status, result.evidence) == (CheckStatus.UNKNOWN, "the check failed (KeyError)")


def test_json_of_another_server_on_the_port_is_reported_with_its_status() -> None:
    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            self.reply(404, {"Content-Type": "application/json"}, b'["no"]')

    server = LoopbackServer(Handler)
    server.start()
    try:
        uri = f"http://127.0.0.1:{server.server_port}/v1/credentials/reader"
        result = daemon.CHECK.run(case({"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}, known=False))
    finally:
        server.close()
    assert result.status is CheckStatus.BROKEN
    assert [finding.cause.name for finding in result.findings] == ["daemon_foreign"]
    assert result.evidence.endswith("/v1/credentials/reader: HTTP 404, in another form than the daemon's")
