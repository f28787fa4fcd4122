"""``bootstrap cluster`` against an API server that really listens: what it says of each state, and what it applies."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.local.issuer import Issuer
from examples.local.pki import Authority
from sidecar import cli
from sidecar.bootstrap_cluster.anonymous import BEYOND, DOCUMENTS, PUBLIC_INFO
from sidecar.errors import SettingsError
from tests.functional.api_server import EVERYBODY, HOST, Job, binding, job as make_job
from tests.unit.issuer.site import reply, serving


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with make_job(tmp_path) as running:
        yield running


@pytest.fixture
def healthy(job: Job) -> Job:
    """The binding is there."""
    job.server.bound = (binding(), "kubectl-create")
    return job


# --- verify ---


def test_a_healthy_cluster_is_0_and_no_link_is_broken(healthy: Job) -> None:
    done = healthy.run()
    assert (done.code, done.causes) == (0, {})
    states = {check["name"]: check["state"] for check in done.json["checks"]}
    assert states.pop("binding") == "skipped"
    assert set(states.values()) == {"ok"}
    assert done.json["issuer_server"] == "api-server"
    assert done.json["authentication_configuration"] == ""


def test_verify_changes_nothing_and_logs_in_nowhere(job: Job) -> None:
    (job.files / "api-token").unlink()
    assert job.run().code == 5
    assert (job.server.applied, job.server.bound) == ([], None)


def test_the_thumbprint_is_that_of_the_ca(healthy: Job) -> None:
    assert f"thumbprint {healthy.server.authority.thumbprint}" in healthy.run().evidence("certificate")


def test_a_leaf_that_is_sent_alone_is_advice(healthy: Job) -> None:
    healthy.server.leaf_only = True
    done = healthy.run("--issuer-ca", str(healthy.files / "ca.crt"))
    assert (done.code, done.state("certificate"), done.told("certificate")["name"]) == (0, "advice", "leaf_only")


def test_a_missing_binding_is_5_with_the_line_that_makes_it(job: Job) -> None:
    done = job.run()
    assert done.code == 5
    assert done.causes == {"discovery": ["discovery_forbidden"], "anonymous_access": ["discovery_forbidden"]}
    assert done.told("discovery")["mend"].startswith("kubectl create clusterrolebinding allow-anon-openid ")
    assert done.json["authentication_configuration"] == "", "it is not what is missing"


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
    assert done.told("anonymous_access")["what"].endswith(f": {', '.join(paths)}")
    assert "kind: AuthenticationConfiguration" in done.json["authentication_configuration"]


def test_fewer_paths_than_kubernetes_opens_are_advice(healthy: Job) -> None:
    healthy.server.limited = set(DOCUMENTS)
    done = healthy.run()
    assert (done.code, done.state("anonymous_access")) == (0, "advice")
    assert ", ".join(PUBLIC_INFO) in done.told("anonymous_access")["what"]


def test_an_issuer_that_names_another_is_5(healthy: Job) -> None:
    healthy.server.advertised_issuer = "https://other.test"
    done = healthy.run()
    assert (done.code, done.causes) == (5, {"discovery": ["issuer_differs"]})


def test_a_token_whose_key_is_not_published_is_5(healthy: Job) -> None:
    healthy.server.stale_jwks = True
    healthy.server.rotate_key()
    healthy.project()
    done = healthy.run()
    assert (done.code, done.causes) == (5, {"keys": ["key_not_published"]})


def test_another_audience_than_is_meant_is_advice(healthy: Job) -> None:
    healthy.project(audience="https://kubernetes.default.svc")
    assert healthy.run().told("token_claims")["name"] == "audience_unusual"
    assert healthy.run("--audience", "https://kubernetes.default.svc").state("token_claims") == "ok"


def test_without_a_token_it_is_2_and_says_what_to_mount(healthy: Job) -> None:
    (healthy.files / "token").unlink()
    done = healthy.run()
    assert (done.code, done.causes) == (2, {"token_file": ["token_missing"]})


def test_an_api_server_that_is_not_there_is_3(healthy: Job) -> None:
    done = healthy.run("--api-server", "https://127.0.0.1:1")
    assert (done.code, done.causes) == (3, {"anonymous_access": ["api_server_unreachable"]})


def test_an_issuer_that_a_pod_cannot_reach_is_3(healthy: Job) -> None:
    healthy.redirections[HOST, 443] = ("127.0.0.1", 1)
    done = healthy.run()
    assert (done.code, done.causes["issuer_server"]) == (3, ["issuer_unreachable_here"])
    assert done.json["issuer_server"] == "api-server", "its certificate says so"


def test_an_api_server_that_no_ca_vouches_for_is_5_and_proves_nothing(healthy: Job) -> None:
    (healthy.files / "ca.crt").write_text(Authority("another CA").pem)
    done = healthy.run()
    assert (done.code, done.causes) == (5, {"anonymous_access": ["api_server_not_vouched_for"]})
    assert done.json["issuer_server"] == "unknown"


@pytest.mark.parametrize(
    "name", ["kubernetes.default.svc.cluster.local", "kubernetes.default.svc", "api.corp.internal"]
)
def test_an_issuer_that_aws_cannot_know_is_5_however_well_it_answers(tmp_path: Path, name: str) -> None:
    with make_job(tmp_path, f"https://{name}") as job:
        job.server.bound = (binding(), "kubectl")
        done = job.run()
        assert (done.code, done.causes) == (5, {"issuer_server": ["issuer_inside"]})
        assert f"https://{name}" in done.told("issuer_server")["what"]


def test_a_key_set_at_an_address_of_the_network_is_5(healthy: Job) -> None:
    healthy.server.jwks_uri = f"https://10.0.0.10:6443{DOCUMENTS[1]}"
    healthy.redirections["10.0.0.10", 6443] = healthy.server.address
    done = healthy.run()
    assert (done.code, done.causes["issuer_server"]) == (5, ["issuer_inside"])
    assert "10.0.0.10:6443" in done.told("issuer_server")["what"]


def test_outside_of_a_pod_the_api_server_is_not_looked_at(healthy: Job) -> None:
    healthy.in_pod = False
    done = healthy.run()
    assert (done.code, done.state("anonymous_access"), done.state("issuer_server")) == (0, "skipped", "unknown")


# --- an issuer elsewhere ---


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


def test_a_bucket_that_is_not_public_is_mended_as_a_bucket(job: Job) -> None:
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
    with serving(reply(403, body)) as home:
        job.redirections |= home
        (job.files / "token").write_text(Issuer("https://issuer.test", clock=lambda: job.clock.wall).mint())
        done = job.run("--mode", "apply")
    assert (done.code, done.causes, job.server.applied) == (5, {"discovery": ["published_closed"]}, [])
    assert "kubectl" not in done.told("discovery")["mend"]


def test_a_proxy_with_a_certificate_of_its_own_before_the_api_server_is_known_by_the_refusal(job: Job) -> None:
    body = json.dumps({"kind": "Status", "code": 403}).encode()
    with serving(reply(403, body)) as home:
        job.redirections |= home
        (job.files / "token").write_text(Issuer("https://issuer.test", clock=lambda: job.clock.wall).mint())
        done = job.run()
    assert (done.json["issuer_server"], done.causes["discovery"]) == ("api-server", ["discovery_forbidden"])


# --- apply ---


def test_apply_makes_one_binding_and_verifies(job: Job) -> None:
    done = job.run("--mode", "apply")
    assert (done.code, done.causes, done.evidence("binding")) == (
        0,
        {},
        "ClusterRoleBinding allow-anon-openid: created",
    )
    assert job.server.applied == [({"fieldManager": ["aws-oidc-sidecar"]}, binding())]
    assert job.server.bound == (binding(), "aws-oidc-sidecar")


def test_applied_twice_it_says_so(job: Job) -> None:
    job.run("--mode", "apply")
    done = job.run("--mode", "apply")
    assert (done.code, done.evidence("binding")) == (0, "ClusterRoleBinding allow-anon-openid: as it has to be")
    assert job.server.bound == (binding(), "aws-oidc-sidecar")


def test_rbac_that_takes_a_moment_is_waited_for_without_applying_again(job: Job) -> None:
    job.server.lag = 10
    done = job.run("--mode", "apply")
    assert (done.code, len(job.server.applied)) == (0, 1)
    assert 0 < job.pauses < 30


def test_rbac_that_takes_too_long_is_5_at_the_end_of_the_wait(job: Job) -> None:
    job.server.lag = 10_000
    done = job.run("--mode", "apply", "--wait", "4")
    assert (done.code, job.pauses) == (5, 4)
    assert done.causes["discovery"] == ["discovery_forbidden"]


def test_verify_waits_for_a_binding_that_somebody_else_makes(job: Job) -> None:
    job.between = lambda: setattr(job.server, "bound", (binding(), "helm"))
    assert job.run().code == 5
    assert (job.run("--wait", "5").code, job.pauses) == (0, 1)


def test_what_does_not_come_by_itself_is_not_waited_for(healthy: Job) -> None:
    healthy.server.anonymous = False
    assert (healthy.run("--wait", "60").code, healthy.pauses) == (5, 0)


def test_with_anonymous_requests_off_nothing_is_applied_and_rbac_is_not_called_enough(job: Job) -> None:
    job.server.anonymous = False
    done = job.run("--mode", "apply")
    assert (done.code, job.server.applied) == (5, [])
    assert "a binding alone would not let them in" in done.evidence("binding")
    assert "kind: AuthenticationConfiguration" in done.json["authentication_configuration"]


def test_for_an_issuer_that_aws_cannot_know_nothing_is_opened(tmp_path: Path) -> None:
    with make_job(tmp_path, "https://kubernetes.default.svc.cluster.local") as job:
        assert (job.run("--mode", "apply").code, job.server.applied) == (5, [])


@pytest.mark.parametrize("missing", ["patch", "create"])
def test_a_missing_right_is_6_and_named_with_the_line_for_an_administrator(job: Job, missing: str) -> None:
    job.server.verbs.remove(missing)
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["rights_missing"])
    assert f"the right to {missing} it is missing" in done.told("binding")["what"]
    assert "kubectl create clusterrolebinding allow-anon-openid " in done.told("binding")["mend"]
    assert job.pauses == 0


def test_a_role_that_may_not_be_given_away_is_6(job: Job) -> None:
    job.server.holds = False
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["bind_missing"])


def test_a_policy_that_refuses_the_binding_is_6(job: Job) -> None:
    job.server.admission = True
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["rights_missing"])
    assert "admission policy" in done.told("binding")["what"]
    assert "policies.test" not in done.out


def test_a_token_that_the_api_server_does_not_take_is_6(job: Job) -> None:
    (job.files / "api-token").write_text("stale")
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["rights_missing"])


def test_an_api_server_that_is_busy_is_asked_again(job: Job) -> None:
    job.server.busy = 2
    done = job.run("--mode", "apply")
    assert (done.code, job.pauses, job.server.bound is not None) == (0, 2, True)


def test_an_api_server_that_stays_busy_is_3(job: Job) -> None:
    job.server.busy = 10_000
    done = job.run("--mode", "apply", "--wait", "2")
    assert (done.code, done.causes["binding"]) == (3, ["binding_not_applied"])


# --- somebody else's binding ---


def test_anothers_binding_that_says_the_same_is_taken_over_by_nobody(healthy: Job) -> None:
    done = healthy.run("--mode", "apply")
    assert (done.code, healthy.server.bound) == (0, (binding(), "kubectl-create"))


def test_anothers_binding_that_says_more_is_left_as_it_is(job: Job) -> None:
    more = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "monitoring"}
    theirs = (binding("system:service-account-issuer-discovery", "Group", EVERYBODY, more), "kubectl")
    job.server.bound = theirs
    done = job.run("--mode", "apply")
    assert (done.code, job.server.bound) == (0, theirs)
    assert done.evidence("binding").endswith("there already, of another's making")


def test_the_tutorials_binding_to_a_role_of_its_own_works_and_is_left(job: Job) -> None:
    theirs = (binding("allow-anon-openid", "User", "system:anonymous"), "kubectl-client-side-apply")
    job.server.bound = theirs
    done = job.run("--mode", "apply")
    assert (done.code, done.causes, job.server.bound) == (0, {}, theirs)
    assert (done.state("binding"), done.told("binding")["name"]) == ("advice", "binding_of_older_form")


def test_anothers_binding_that_says_something_else_is_7_and_left(job: Job) -> None:
    theirs = (binding("view", "User", "jane"), "kubectl")
    job.server.bound = theirs
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"], job.server.bound) == (7, ["binding_differs"], theirs)
    assert job.pauses == 0


def test_anothers_binding_that_may_not_be_looked_at_is_6(job: Job) -> None:
    job.server.bound = (binding("view", "User", "jane"), "kubectl")
    job.server.verbs.remove("get")
    done = job.run("--mode", "apply")
    assert (done.code, "the right to get it is missing" in done.told("binding")["what"]) == (6, True)


# --- how it is asked ---


def test_people_get_lines_with_mends_and_the_configuration(healthy: Job) -> None:
    healthy.server.anonymous = False
    lines = healthy.run(json=False).out.splitlines()
    assert any(line.startswith("broken  issuer's discovery document") for line in lines)
    assert any(line.strip().startswith("mend: allow them for the discovery paths alone") for line in lines)
    assert "kind: AuthenticationConfiguration" in lines


def test_a_good_end_says_that_the_other_half_is_not_looked_at(healthy: Job) -> None:
    assert healthy.run(json=False).out.endswith("this was the cluster's half; for AWS's: aws-oidc-sidecar doctor\n")


Given = Callable[[Job], list[str]]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda _: ["--wait", "x"], "--wait: not a number of seconds; "),
        (lambda _: ["--wait", "3601"], "--wait: not a number of seconds; "),
        (lambda _: ["--connect-to", "x"], "--connect-to: not HOST:PORT:ADDRESS:PORT; "),
        (lambda _: ["--issuer-ca", "/nonexistent"], "--issuer-ca: is no file; "),
        (lambda _: ["--api-server", "http://10.0.0.1"], "--api-server: not an https URL; "),
        (lambda _: ["--api-ca-file", "/nonexistent"], "/nonexistent: cannot be read (No such file or directory); "),
        (lambda job: ["--api-ca-file", str(job.files / "token")], "holds no certificate; "),
        (lambda _: ["--mode", "apply", "--api-token-file", "/nonexistent"], "/nonexistent: cannot be read ("),
        (lambda _: ["--token-file", "relative"], "--token-file: "),
    ],
)
def test_an_option_that_cannot_be_used_is_told_in_one_line(job: Job, given: Given, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        job.run(*given(job))
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_pods_own_token_goes_to_no_other_api_server(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    host, port = job.server.address
    given = ["--mode", "apply", "--token-file", str(job.files / "token"), "--api-server", f"https://{host}:{port}"]
    assert cli.main(["bootstrap", "cluster", *given], job.environment) == 2
    assert "--api-token-file: is not given, and --api-server is; " in capsys.readouterr().err
    assert job.server.applied == []


def test_outside_of_a_pod_apply_is_2(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bootstrap", "cluster", "--mode", "apply", "--token-file", str(job.files / "token")], {}) == 2
    assert "--mode apply: no API server is known here; " in capsys.readouterr().err


def test_from_several_namespaces_at_once_all_are_good_and_there_is_one_binding(tmp_path: Path) -> None:
    with make_job(tmp_path) as job:
        issuer = Issuer(job.server.url)  # a token that is good by the machine's own clock
        issuer._keys = job.server._keys
        (tmp_path / "token").write_text(issuer.mint())
        command = [sys.executable, "-I", "-m", "sidecar", "bootstrap", *job.arguments, "--json", "--mode", "apply"]
        environment = {"PATH": os.environ["PATH"], **job.environment}
        running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(4)]
        outputs = [process.communicate(timeout=50)[0] for process in running]
        assert [process.returncode for process in running] == [0] * 4
        evidence = [
            check["evidence"].rpartition(": ")[2]
            for output in outputs
            for check in json.loads(output)["checks"]
            if check["name"] == "binding"
        ]
        assert sorted(evidence) == ["as it has to be"] * 3 + ["created"]
        assert job.server.bound == (binding(), "aws-oidc-sidecar")
