"""``bootstrap cluster`` against a local API server: what it reports for each state."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.local.pki import Authority
from sidecar import cli
from sidecar.cluster.anonymous import BEYOND, DOCUMENTS, PUBLIC_INFO
from sidecar.errors import SettingsError
from tests.functional.api_server import HOST, binding
from tests.functional.cluster_job import Job, job as make_job


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with make_job(tmp_path) as running:
        yield running


@pytest.fixture
def healthy(job: Job) -> Job:
    """The binding exists."""
    job.server.bound = (binding(), "kubectl-create")
    return job


# --- verify ---


def test_a_healthy_cluster_is_0_and_no_check_is_broken(healthy: Job) -> None:
    done = healthy.run()
    assert (done.code, done.causes) == (0, {})
    states = {check["name"]: check["status"] for check in done.json["checks"]}
    assert states.pop("binding") == "skipped"
    assert set(states.values()) == {"ok"}
    assert done.json["issuer_server"] == "api-server"
    assert done.json["authentication_configuration"] == ""


def test_verify_changes_nothing_and_needs_no_token_of_the_api_server(job: Job) -> None:
    (job.files / "api-token").unlink()
    assert job.run().code == 5
    assert (job.server.applied, job.server.bound) == ([], None)


def test_the_thumbprint_is_that_of_the_ca(healthy: Job) -> None:
    assert f"thumbprint {healthy.server.authority.thumbprint}" in healthy.run().evidence("certificate")


def test_a_leaf_that_is_sent_without_its_ca_is_advice(healthy: Job) -> None:
    healthy.server.leaf_only = True
    done = healthy.run("--issuer-ca", str(healthy.files / "ca.crt"))
    assert (done.code, done.state("certificate"), done.first_cause("certificate")["name"]) == (0, "advice", "leaf_only")


def test_a_missing_binding_is_5_with_the_command_that_creates_it(job: Job) -> None:
    done = job.run()
    assert done.code == 5
    assert done.causes == {"discovery": ["discovery_forbidden"], "anonymous_access": ["discovery_forbidden"]}
    assert done.first_cause("discovery")["fix"].startswith("kubectl create clusterrolebinding allow-anon-openid ")
    assert done.json["authentication_configuration"] == "", "the configuration is not missing"


@pytest.mark.parametrize(("minor", "version"), [("34+", "v1"), ("33", "v1beta1")])
def test_anonymous_requests_that_are_off_are_5_with_the_configuration_of_this_version(
    healthy: Job, minor: str, version: str
) -> None:
    healthy.server.anonymous, healthy.server.minor = False, minor
    done = healthy.run()
    assert done.code == 5
    assert done.causes == {"discovery": ["anonymous_off"], "anonymous_access": ["anonymous_off"]}
    text = done.json["authentication_configuration"]
    assert f"apiVersion: apiserver.config.k8s.io/{version}\n" in text
    assert [line.strip() for line in text.splitlines() if "path:" in line] == [f"- path: {path}" for path in DOCUMENTS]


def test_before_1_32_the_configuration_is_a_flag(healthy: Job) -> None:
    healthy.server.anonymous, healthy.server.minor = False, "31"
    text = healthy.run().json["authentication_configuration"]
    assert "--anonymous-auth=true" in text
    assert "AuthenticationConfiguration" not in text


def test_without_a_login_and_without_a_version_every_form_of_the_configuration_is_named(healthy: Job) -> None:
    healthy.server.anonymous = False
    (healthy.files / "api-token").unlink()
    text = healthy.run().json["authentication_configuration"]
    assert "apiserver.config.k8s.io/v1\n" in text
    assert "v1beta1 before 1.34" in text


def test_a_configuration_without_the_documents_is_anonymous_requests_that_are_off(healthy: Job) -> None:
    healthy.server.limited = {"/livez", "/readyz"}
    done = healthy.run()
    assert (done.code, done.causes["discovery"]) == (5, ["anonymous_off"])


def test_a_configuration_with_one_document_is_not_enough(healthy: Job) -> None:
    healthy.server.limited = {DOCUMENTS[0], *PUBLIC_INFO}
    done = healthy.run()
    assert (done.code, done.causes) == (5, {"keys": ["anonymous_off"], "anonymous_access": ["anonymous_off"]})


@pytest.mark.parametrize("paths", [("/metrics",), BEYOND])
def test_any_path_more_than_needed_is_1_and_named(healthy: Job, paths: tuple[str, ...]) -> None:
    healthy.server.opened |= set(paths)
    done = healthy.run()
    assert (done.code, done.causes) == (1, {"anonymous_access": ["anonymous_too_wide"]})
    assert done.first_cause("anonymous_access")["what"].endswith(f": {', '.join(paths)}")
    assert "kind: AuthenticationConfiguration" in done.json["authentication_configuration"]


def test_before_1_32_no_configuration_is_printed_that_would_not_limit_anything(healthy: Job) -> None:
    healthy.server.opened.add("/api")
    healthy.server.minor = "31"
    done = healthy.run()
    assert (done.code, done.json["authentication_configuration"]) == (1, "")


def test_fewer_paths_than_kubernetes_opens_are_advice(healthy: Job) -> None:
    healthy.server.limited = set(DOCUMENTS)
    done = healthy.run()
    assert (done.code, done.state("anonymous_access")) == (0, "advice")
    cause = done.first_cause("anonymous_access")
    assert (cause["name"], ", ".join(PUBLIC_INFO) in cause["what"]) == ("anonymous_narrow", True)


def test_a_document_with_another_issuer_is_5(healthy: Job) -> None:
    healthy.server.advertised_issuer = "https://other.test"
    done = healthy.run()
    assert (done.code, done.causes) == (5, {"discovery": ["issuer_differs"]})


def test_a_token_whose_key_is_not_published_is_5(healthy: Job) -> None:
    healthy.server.stale_jwks = True
    healthy.server.rotate_key()
    healthy.project()
    done = healthy.run()
    assert (done.code, done.causes) == (5, {"keys": ["key_not_published"]})


def test_an_unexpected_audience_is_advice(healthy: Job) -> None:
    healthy.project(audience="vault")
    assert healthy.run().first_cause("token_claims")["name"] == "audience_unusual"
    assert healthy.run("--audience", "vault").state("token_claims") == "ok"


def test_without_a_token_it_is_2_and_says_what_to_mount(healthy: Job) -> None:
    (healthy.files / "token").unlink()
    done = healthy.run()
    assert (done.code, done.causes) == (2, {"token_file": ["token_missing"]})


def test_an_unreachable_api_server_is_3(healthy: Job) -> None:
    done = healthy.run("--api-server", "https://127.0.0.1:1")
    assert (done.code, done.causes) == (3, {"anonymous_access": ["api_server_unreachable"]})


def test_an_issuer_that_a_pod_cannot_reach_is_3(healthy: Job) -> None:
    healthy.redirections[HOST, 443] = ("127.0.0.1", 1)
    done = healthy.run()
    assert (done.code, done.causes["issuer_server"]) == (3, ["issuer_unreachable_here"])
    assert done.json["issuer_server"] == "api-server", "its certificate says so"


def test_an_api_server_that_no_ca_verifies_is_5_and_proves_nothing(healthy: Job) -> None:
    (healthy.files / "ca.crt").write_text(Authority("another CA").pem)
    done = healthy.run()
    assert (done.code, done.causes) == (5, {"anonymous_access": ["api_server_not_vouched_for"]})
    assert done.json["issuer_server"] == "unknown"


@pytest.mark.parametrize(
    "name", ["kubernetes.default.svc.cluster.local", "kubernetes.default.svc", "api.corp.internal"]
)
def test_an_issuer_that_aws_cannot_reach_is_5_even_if_it_responds_here(tmp_path: Path, name: str) -> None:
    with make_job(tmp_path, f"https://{name}") as job:
        job.server.bound = (binding(), "kubectl")
        done = job.run()
        assert (done.code, done.causes["discovery"]) == (5, ["issuer_inside"])
        assert f"https://{name}" in done.first_cause("discovery")["what"]


def test_a_key_set_at_an_address_of_the_network_is_5(healthy: Job) -> None:
    healthy.server.jwks_uri = f"https://10.0.0.10:6443{DOCUMENTS[1]}"
    healthy.redirections["10.0.0.10", 6443] = healthy.server.address
    done = healthy.run()
    assert (done.code, done.causes) == (5, {"keys": ["issuer_inside"]})
    assert "10.0.0.10:6443" in done.first_cause("keys")["what"]


def test_outside_a_pod_the_api_server_is_not_checked(healthy: Job) -> None:
    healthy.in_pod = False
    done = healthy.run()
    assert (done.code, done.state("anonymous_access"), done.state("issuer_server")) == (0, "skipped", "unknown")


# --- output and options ---


def test_the_text_has_fixes_and_the_configuration(healthy: Job) -> None:
    healthy.server.anonymous = False
    lines = healthy.run(json=False).out.splitlines()
    assert any(line.startswith("broken  issuer's discovery document") for line in lines)
    assert any(line.strip().startswith("fix: allow anonymous requests for the discovery paths only") for line in lines)
    assert "kind: AuthenticationConfiguration" in lines


def test_a_good_result_says_that_only_the_cluster_was_checked(healthy: Job) -> None:
    assert healthy.run(json=False).out.endswith(
        "only the cluster was checked; to check AWS too, run: aws-oidc-sidecar doctor\n"
    )


Given = Callable[[Job], list[str]]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (lambda _: ["--wait", "x"], "--wait: not a number of seconds; "),
        (lambda _: ["--wait", "3601"], "--wait: not a number of seconds; "),
        (lambda _: ["--connect-to", "x"], "--connect-to: not HOST:PORT:ADDRESS:PORT; "),
        (lambda _: ["--issuer-ca", "/nonexistent"], "--issuer-ca: not a file; "),
        (lambda _: ["--api-server", "http://10.0.0.1"], "--api-server: not an https URL; "),
        (lambda _: ["--api-ca-file", "/nonexistent"], "/nonexistent: cannot be read (No such file or directory); "),
        (lambda job: ["--api-ca-file", str(job.files / "token")], "has no certificate; "),
        (lambda _: ["--mode", "apply", "--api-token-file", "/nonexistent"], "/nonexistent: cannot be read ("),
        (lambda _: ["--token-file", ""], "--token-file: "),
    ],
)
def test_an_option_that_cannot_be_used_is_an_error_of_one_line(job: Job, given: Given, error: str) -> None:
    with pytest.raises(SettingsError) as raised:
        job.run(*given(job))
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_pods_own_token_goes_to_no_other_api_server(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    host, port = job.server.address
    given = ["--mode", "apply", "--token-file", str(job.files / "token"), "--api-server", f"https://{host}:{port}"]
    assert cli.main(["bootstrap", "cluster", *given], job.environment) == 2
    assert "--api-token-file: missing, and required with --api-server; " in capsys.readouterr().err
    assert job.server.applied == []


def test_outside_a_pod_apply_is_2(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bootstrap", "cluster", "--mode", "apply", "--token-file", str(job.files / "token")], {}) == 2
    assert "--mode apply: no API server is known here; " in capsys.readouterr().err
