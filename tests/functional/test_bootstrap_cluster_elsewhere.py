"""``bootstrap cluster`` where the issuer is another server than the API server, or seems to be."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local.issuer import Issuer
from tests.functional.api_server import HOST
from tests.functional.cluster_job import Job, job as make_job
from tests.unit.issuer.site import reply, serving


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with make_job(tmp_path) as running:
        yield running


@pytest.fixture
def managed(job: Job) -> Iterator[Issuer]:
    """A managed issuer, as Gardener's; the API server lets nobody in without a login."""
    with Issuer("https://discovery.managed.test/projects/shop/shoots/1/issuer", clock=lambda: job.clock.wall) as issuer:
        job.redirections |= issuer.connect_to
        (job.files / "token").write_text(issuer.mint())
        job.server.anonymous = False
        yield issuer


@pytest.mark.parametrize("mode", ["verify", "apply"])
def test_with_a_managed_issuer_nothing_has_to_be_done(job: Job, managed: Issuer, mode: str) -> None:
    done = job.run("--mode", mode)
    assert (done.code, done.causes, done.json["issuer_server"]) == (0, {}, "elsewhere")
    assert job.server.applied == []
    assert "nothing has to be done in the cluster" in done.evidence("issuer_server")
    assert managed.url in done.evidence("issuer_server")
    if mode == "apply":
        assert "nothing has to be done in the cluster" in done.evidence("binding")


def test_published_documents_at_the_root_are_known_by_the_certificate(job: Job) -> None:
    with Issuer("https://oidc.published.test", clock=lambda: job.clock.wall) as issuer:
        job.redirections |= issuer.connect_to
        (job.files / "token").write_text(issuer.mint())
        done = job.run("--mode", "apply")
    assert (done.code, done.json["issuer_server"], job.server.applied) == (0, "elsewhere", [])


def test_too_wide_anonymous_access_is_1_with_a_managed_issuer_too(job: Job, managed: Issuer) -> None:
    job.server.anonymous = True
    job.server.opened.add("/apis")
    assert (managed.url in job.run().out, job.run().code) == (True, 1)


@pytest.mark.parametrize("body", [b"<Error><Code>AccessDenied</Code></Error>", b'{"message": "Forbidden"}', b"[]"])
def test_a_bucket_that_is_not_public_is_mended_as_a_bucket(job: Job, body: bytes) -> None:
    with serving(reply(403, body)) as home:
        job.redirections |= home
        (job.files / "token").write_text(Issuer("https://issuer.test", clock=lambda: job.clock.wall).mint())
        done = job.run("--mode", "apply")
    assert (done.code, done.causes, job.server.applied) == (5, {"discovery": ["published_closed"]}, [])
    assert "kubectl" not in done.told("discovery")["mend"]


def test_an_issuer_with_a_path_is_not_the_api_server_though_that_has_a_certificate_for_its_name(job: Job) -> None:
    with Issuer(f"https://{HOST}/projects/shop/issuer", clock=lambda: job.clock.wall) as issuer:
        job.redirections |= issuer.connect_to
        (job.files / "token").write_text(issuer.mint())
        done = job.run("--mode", "apply")
    assert (done.code, done.json["issuer_server"], job.server.applied) == (0, "elsewhere", [])


def test_a_proxy_with_a_certificate_of_its_own_before_the_api_server_is_known_by_the_refusal(job: Job) -> None:
    body = json.dumps({"kind": "Status", "code": 403}).encode()
    with serving(reply(403, body)) as home:
        job.redirections |= home
        (job.files / "token").write_text(Issuer("https://issuer.test", clock=lambda: job.clock.wall).mint())
        done = job.run()
    assert (done.json["issuer_server"], done.causes["discovery"]) == ("api-server", ["discovery_forbidden"])
