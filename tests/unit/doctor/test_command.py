"""One link that cannot be looked at leaves the others to be told."""

from examples.local.loopback import LoopbackHandler, LoopbackServer
from sidecar.doctor.checks import daemon
from sidecar.doctor.command import _verdict
from sidecar.doctor.verdict import Check, State, Verdict
from tests.unit.doctor.cases import case


def test_what_a_check_raises_makes_its_link_unknown_and_is_not_quoted() -> None:
    def run(_: object) -> Verdict:
        raise KeyError("a-secret")

    verdict = _verdict(Check("link", "link", "", (), run), case())
    assert (verdict.state, verdict.evidence) == (State.UNKNOWN, "it could not be looked at (KeyError)")


def test_a_port_where_somebody_else_answers_json_is_told_with_its_status() -> None:
    class Handler(LoopbackHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            self.reply(404, {"Content-Type": "application/json"}, b'["no"]')

    server = LoopbackServer(Handler)
    server.start()
    try:
        uri = f"http://127.0.0.1:{server.server_port}/v1/credentials/reader"
        verdict = daemon.CHECK.run(case({"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}, known=False))
    finally:
        server.close()
    assert verdict.state is State.BROKEN
    assert verdict.evidence.endswith("/v1/credentials/reader answers 404")
