"""``bootstrap cluster`` with an issuer that is not the API server, or appears not to be."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local.issuer import Issuer
from tests.functional.api_server import HOST
from tests.functional.cluster_job import Job, job as make_job
from tests.unit.https.site import reply, serving


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with make_job(tmp_path) as running:
        yield running


@pytest.fixture
def managed(job: Job) -> Iterator[Issuer]:
    """A managed issuer, as in Gardener; the API server accepts no anonymous requests."""
    with Issuer("https://discovery.managed.test/projects/shop/shoots/1/issuer", clock=lambda: job.clock.wall) as issuer:
        job.redirections |= issuer.connect_to
        (job.files / "token").write_text(issuer.mint())
        job.server.anonymous = False
        yield issuer


@pytest.mark.parametrize("mode", ["verify", "apply"])
def test_with_a_managed_issuer_the_cluster_needs_no_change(job: Job, managed: Issuer, mode: str) -> None:
    done = job.run("--mode", mode)
    assert (done.code, done.causes, done.json["issuer_server"]) == (0, {}, "elsewhere")
    assert job.server.applied == []
    assert "the cluster needs no change" in done.evidence("issuer_server")
    assert managed.url in done.evidence("issuer_server")
    if mode == "apply":
        assert "the cluster needs no change" in done.evidence("binding")


def test_published_documents_at_the_root_are_detected_by_the_certificate(job: Job) -> None:
    with Issuer("https://oidc.published.test", clock=lambda: job.clock.wall) as issuer:
        job.redirections |= issuer.connect_to
        (job.files / "token").write_text(issuer.mint())
        done = job.run("--mode", "apply")
    assert (done.code, done.json["issuer_server"], job.server.applied) == (0, "elsewhere", [])


def test_too_wide_anonymous_access_is_1_with_a_managed_issuer_too(job: Job, managed: Issuer) -> None:
    job.server.anonymous = True
    job.server.opened.add("/apis")
    assert (managed.url in job.run().out, job.run().code) == (True, 1)


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"<Error><Code>AccessDenied</Code></Error>", "published_closed"),
        (b'{"message": "Forbidden"}', "issuer_asks_for_login"),
        (b"[]", "issuer_asks_for_login"),
    ],
)
def test_a_server_that_is_not_public_gets_no_fix_of_an_api_server(job: Job, body: bytes, cause: str) -> None:
    with serving(reply(403, body), clock=lambda: job.clock.wall) as home:
        job.redirections |= home
        (job.files / "token").write_text(Issuer("https://issuer.test", clock=lambda: job.clock.wall).mint())
        done = job.run("--mode", "apply")
    assert (done.code, done.causes, job.server.applied) == (5, {"discovery": [cause]}, [])
    assert "kubectl" not in done.first_cause("discovery")["fix"]


def test_an_issuer_with_a_path_is_not_the_api_server_even_if_that_has_a_certificate_for_its_name(job: Job) -> None:
    with Issuer(f"https://{HOST}/projects/shop/issuer", clock=lambda: job.clock.wall) as issuer:
        job.redirections |= issuer.connect_to
        (job.files / "token").write_text(issuer.mint())
        done = job.run("--mode", "apply")
    assert (done.code, done.json["issuer_server"], job.server.applied) == (0, "elsewhere", [])


def test_an_api_server_behind_a_proxy_is_detected_by_its_status_document(job: Job) -> None:
    body = json.dumps({"kind": "Status", "code": 403}).encode()
    with serving(reply(403, body), clock=lambda: job.clock.wall) as home:
        job.redirections |= home
        (job.files / "token").write_text(Issuer("https://issuer.test", clock=lambda: job.clock.wall).mint())
        done = job.run()
    assert (done.json["issuer_server"], done.causes["discovery"]) == ("api-server", ["discovery_forbidden"])
