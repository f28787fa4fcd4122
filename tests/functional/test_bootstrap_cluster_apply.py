"""``bootstrap cluster --mode apply`` against a local API server: what it applies, and what it does not change."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local.issuer import Issuer
from tests.functional.api_server import UNAUTHENTICATED, binding
from tests.functional.cluster_job import Job, job as make_job


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with make_job(tmp_path) as running:
        yield running


def test_apply_creates_one_binding_and_verifies(job: Job) -> None:
    done = job.run("--mode", "apply")
    assert (done.code, done.causes, done.evidence("binding")) == (
        0,
        {},
        "ClusterRoleBinding allow-anon-openid: created",
    )
    assert job.server.applied == [({"fieldManager": ["aws-oidc-sidecar"]}, binding())]
    assert job.server.bound == (binding(), "aws-oidc-sidecar")


def test_a_second_apply_reports_that_the_binding_is_up_to_date(job: Job) -> None:
    job.run("--mode", "apply")
    done = job.run("--mode", "apply")
    assert (done.code, done.evidence("binding")) == (0, "ClusterRoleBinding allow-anon-openid: up to date")
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


def test_verify_waits_for_a_binding_that_another_program_creates(job: Job) -> None:
    job.between = lambda: setattr(job.server, "bound", (binding(), "helm"))
    assert job.run().code == 5
    assert (job.run("--wait", "5").code, job.pauses) == (0, 1)


def test_a_permanent_fault_is_not_waited_for(job: Job) -> None:
    job.server.anonymous = False
    assert (job.run("--wait", "60").code, job.pauses) == (5, 0)


def test_with_anonymous_requests_off_nothing_is_applied_and_the_configuration_is_printed(job: Job) -> None:
    job.server.anonymous = False
    done = job.run("--mode", "apply")
    assert (done.code, job.server.applied) == (5, [])
    assert "a binding alone does not enable them" in done.evidence("binding")
    assert "kind: AuthenticationConfiguration" in done.json["authentication_configuration"]


def test_for_an_issuer_that_aws_cannot_reach_nothing_is_opened(tmp_path: Path) -> None:
    with make_job(tmp_path, "https://kubernetes.default.svc.cluster.local") as job:
        assert (job.run("--mode", "apply").code, job.server.applied) == (5, [])


@pytest.mark.parametrize("missing", ["patch", "create"])
def test_a_missing_right_is_6_and_named_with_the_command_for_an_administrator(job: Job, missing: str) -> None:
    job.server.verbs.remove(missing)
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["rights_missing"])
    assert f"the right to {missing} it is missing" in done.first_cause("binding")["what"]
    assert "kubectl create clusterrolebinding allow-anon-openid " in done.first_cause("binding")["fix"]
    assert job.pauses == 0


def test_rights_that_cannot_be_granted_are_6(job: Job) -> None:
    job.server.holds = False
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["bind_missing"])


def test_a_policy_that_rejects_the_binding_is_6(job: Job) -> None:
    job.server.admission = True
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["rights_missing"])
    assert "admission policy" in done.first_cause("binding")["what"]
    assert "policies.test" not in done.out


def test_a_token_that_the_api_server_does_not_accept_is_6(job: Job) -> None:
    (job.files / "api-token").write_text("stale")
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (6, ["rights_missing"])


def test_an_api_server_without_rbac_is_5(job: Job) -> None:
    job.server.rbac = False
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (5, ["no_rbac"])


def test_a_busy_api_server_gets_the_request_again(job: Job) -> None:
    job.server.busy = 2
    done = job.run("--mode", "apply")
    assert (done.code, job.pauses, job.server.bound is not None) == (0, 2, True)


def test_an_api_server_that_stays_busy_is_3(job: Job) -> None:
    job.server.busy = 10_000
    done = job.run("--mode", "apply", "--wait", "2")
    assert (done.code, done.causes["binding"]) == (3, ["binding_not_applied"])


# --- a binding of another manager ---


def test_a_binding_of_another_manager_with_the_same_content_keeps_its_manager(job: Job) -> None:
    job.server.bound = (binding(), "kubectl-create")
    done = job.run("--mode", "apply")
    assert (done.code, job.server.bound) == (0, (binding(), "kubectl-create"))


def test_a_binding_of_another_manager_with_more_subjects_is_not_changed(job: Job) -> None:
    more = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "monitoring"}
    theirs = (binding("system:service-account-issuer-discovery", "Group", UNAUTHENTICATED, more), "kubectl")
    job.server.bound = theirs
    done = job.run("--mode", "apply")
    assert (done.code, job.server.bound) == (0, theirs)
    assert done.evidence("binding").endswith("exists, created by another manager")


def test_the_tutorials_binding_to_another_role_works_and_is_not_changed(job: Job) -> None:
    theirs = (binding("allow-anon-openid", "User", "system:anonymous"), "kubectl-client-side-apply")
    job.server.bound = theirs
    done = job.run("--mode", "apply")
    assert (done.code, done.causes, job.server.bound) == (0, {}, theirs)
    assert (done.state("binding"), done.first_cause("binding")["name"]) == ("advice", "binding_of_older_form")


def test_a_binding_of_another_manager_with_another_role_is_7_and_not_changed(job: Job) -> None:
    theirs = (binding("view", "User", "jane"), "kubectl")
    job.server.bound = theirs
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"], job.server.bound) == (7, ["binding_differs"], theirs)
    assert job.pauses == 0


def test_a_binding_of_this_manager_with_another_role_is_7(job: Job) -> None:
    job.server.bound = (binding("view"), "aws-oidc-sidecar")
    done = job.run("--mode", "apply")
    assert (done.code, done.causes["binding"]) == (7, ["binding_differs"])


def test_a_binding_of_another_manager_that_cannot_be_read_is_6(job: Job) -> None:
    job.server.bound = (binding("view", "User", "jane"), "kubectl")
    job.server.verbs.remove("get")
    done = job.run("--mode", "apply")
    assert (done.code, "the right to get it is missing" in done.first_cause("binding")["what"]) == (6, True)


def test_from_several_namespaces_at_once_all_are_good_and_there_is_one_binding(tmp_path: Path) -> None:
    with make_job(tmp_path) as job:
        issuer = Issuer(job.server.url)  # a token that is valid by the machine's clock
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
        assert sorted(evidence) == ["created"] + ["up to date"] * 3
        assert job.server.bound == (binding(), "aws-oidc-sidecar")


def test_a_token_file_may_be_relative_to_the_current_directory(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(job.files)
    assert job.run("--mode", "apply", "--token-file", "token", "--api-token-file", "api-token").code == 0
