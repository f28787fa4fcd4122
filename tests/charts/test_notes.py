"""The notes after an install: commands for this release that can be pasted, and the pitfalls."""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from examples.local.policies import Decision, Request, evaluate
from examples.local.world import World
from sidecar.commands.bootstrap import add_options
from tests.charts.helm import CHART, NAMESPACE, RELEASE, Json, helm, render
from tests.charts.manifests import one
from tests.functional.bootstrapping import connect_to, exchange, iam_now, variables

ROLE = "arn:aws:iam::123456789012:role/KubernetesParameterStoreRole"


def notes(values: Json | Path) -> str:
    given = ("--values", values) if isinstance(values, Path) else ()
    text = helm(
        "install", RELEASE, CHART, "--namespace", NAMESPACE, "--dry-run=client", *given,
        values=None if isinstance(values, Path) else values,
    )  # fmt: skip
    return text.partition("\nNOTES:\n")[2]


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each `aws-oidc-sidecar` command in the notes."""
    joined = text.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("aws-oidc-sidecar ")]


@pytest.fixture(scope="module")
def minimal() -> str:
    return notes({"roleArn": ROLE})


def test_the_notes_list_the_role_of_each_service_account(minimal: str) -> None:
    assert f"ServiceAccount aws-aws-oidc-sidecar, profile default: {ROLE}" in minimal


def test_the_notes_get_the_issuer_the_managed_one_first(minimal: str) -> None:
    managed = minimal.index("status.advertisedAddresses[?(@.name==")
    assert managed < minimal.index("kubectl get --raw /.well-known/openid-configuration")


def test_one_command_sets_up_the_role_in_aws(minimal: str) -> None:
    assert commands(minimal) == [
        ["bootstrap", "aws", "--issuer", "$issuer", "--role", "KubernetesParameterStoreRole",
         "--service-account", f"{NAMESPACE}/aws-aws-oidc-sidecar"]
    ]  # fmt: skip


def test_the_notes_have_a_command_for_the_test_and_for_the_log_of_the_job(minimal: str) -> None:
    assert f"helm test {RELEASE} -n {NAMESPACE} --logs" in minimal
    job = one(render({"roleArn": ROLE}), "Job")["metadata"]["name"]
    assert f"kubectl -n {NAMESPACE} logs job/{job}\n" in minimal


def test_a_role_of_several_accounts_is_one_command_because_it_replaces_the_whole_trust_policy() -> None:
    accounts = [
        {"name": "a", "roleArn": ROLE, "durationSeconds": 7200},
        {"name": "b", "roleArn": ROLE, "audience": "other"},
        {"name": "c", "profiles": {name: {"roleArn": "arn:aws:iam::123456789012:role/teams/x/C"} for name in "xy"}},
    ]
    first, second = commands(notes({"serviceAccounts": accounts}))
    assert first[4:] == [
        "--role", "KubernetesParameterStoreRole", "--service-account", "team/a", "--service-account", "team/b",
        "--audience", "sts.amazonaws.com", "--audience", "other", "--max-session-seconds", "7200",
    ]  # fmt: skip
    assert second[4:] == ["--role", "C", "--path", "/teams/x/", "--service-account", "team/c"]


def test_a_role_path_with_shell_characters_is_quoted() -> None:
    path = "/a:b/$(date)'\"/"
    odd = f"arn:aws:iam::123456789012:role{path}Odd"
    profiles = {"a": {"roleArn": odd}, "b": {"roleArn": arn("Next"), "sourceProfile": "a"}}
    first, second = commands(notes({"serviceAccounts": [{"name": "a", "profiles": profiles}]}))
    assert first[4:8] == ["--role", "Odd", "--path", path]
    assert second[4:] == ["--role", "Next", "--assumed-by", odd]


def test_a_chained_role_trusts_the_role_before_it() -> None:
    text = notes(CHART / "ci" / "chained-values.yaml")
    assert [command[4:] for command in commands(text)] == [
        ["--role", "Backup", "--service-account", "team/backup", "--max-session-seconds", "7200",
         "--inline-policy", "assume-roles=assume-Backup.json"],
        ["--role", "BackupStore", "--assumed-by", "arn:aws:iam::123456789012:role/Backup", "--session-tags",
         "--inline-policy", "assume-roles=assume-BackupStore.json"],
        ["--role", "Further", "--assumed-by", "arn:aws:iam::210987654321:role/BackupStore"],
    ]  # fmt: skip
    assert "# in account 210987654321" in text


def arn(name: str) -> str:
    return f"arn:aws:iam::123456789012:role/{name}"


def test_the_printed_commands_make_a_chain_that_works(fresh_world: World, tmp_path: Path) -> None:
    # The first role is the last of the alphabet: IAM rejects a trust policy with a role that does not exist yet.
    profiles = {
        "a": {"roleArn": arn("z/Base"), "serve": False},
        "b": {"roleArn": arn("Middle"), "sourceProfile": "a", "sessionTags": True},
        "c": {"roleArn": arn("Last"), "sourceProfile": "b"},
    }
    text = notes({"serviceAccounts": [{"name": "a", "audience": "it's", "profiles": profiles}]})
    assert [command[5] for command in commands(text)] == ["Base", "Middle", "Last"]
    step = text[text.index("# in account") : text.index("3. Test it")]
    program = tmp_path / "aws-oidc-sidecar"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -m sidecar "$@" {shlex.join(connect_to(fresh_world))}\n')
    program.chmod(0o700)
    environment = variables(
        fresh_world, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}", issuer="https://issuer.test"
    )
    subprocess.run(["sh", "-e", "-c", step], env=environment, cwd=tmp_path, check=True, timeout=60)

    token = fresh_world.issuer.mint(namespace=NAMESPACE, service_account="a", audience="it's")
    assert exchange(fresh_world, token, "z/Base").endswith("/Base/test")
    roles = iam_now(fresh_world)["roles"]
    for source, target, action in [
        ("Base", "Middle", "sts:AssumeRole"),
        ("Base", "Middle", "sts:TagSession"),
        ("Middle", "Last", "sts:AssumeRole"),
    ]:
        rights = tuple(roles[source]["inline"].values())
        assert evaluate(rights, Request(action, resource=arn(target))) is Decision.ALLOW
        caller = Request(action, {"AWS": frozenset({roles[source]["arn"]})})
        assert evaluate((roles[target]["trust"],), caller) is Decision.ALLOW
    untagged = tuple(roles["Middle"]["inline"].values())
    assert evaluate(untagged, Request("sts:TagSession", resource=arn("Last"))) is not Decision.ALLOW


def test_a_role_for_tokens_and_for_a_chain_has_one_command() -> None:
    accounts = [
        {"name": "a", "roleArn": ROLE},
        {"name": "b", "profiles": {"x": {"roleArn": arn("S")}, "y": {"roleArn": ROLE, "sourceProfile": "x"}}},
    ]
    text = notes({"serviceAccounts": accounts})
    assert [command[5] for command in commands(text)] == ["KubernetesParameterStoreRole", "S"]
    assert "--assumed-by" not in text
    assert "policy by hand, with sts:AssumeRole, once they exist" in text
    assert f"#   {arn('S')}\n" in text


def test_roles_that_two_accounts_chain_in_opposite_directions_are_still_printed() -> None:
    def chain(*names: str) -> Json:
        sources = [{}, *({"sourceProfile": str(number)} for number in range(len(names) - 1))]
        return {str(number): {"roleArn": arn(name)} | sources[number] for number, name in enumerate(names)}

    accounts = [{"name": "a", "profiles": chain("R", "A", "B")}, {"name": "b", "profiles": chain("R", "B", "A")}]
    assert [command[5] for command in commands(notes({"serviceAccounts": accounts}))] == ["R", "A", "B"]


def test_the_notes_warn_that_the_whole_trust_policy_is_replaced(minimal: str) -> None:
    assert "ServiceAccounts of other namespaces and releases that use the role, too" in minimal


@pytest.mark.parametrize("case", ["minimal", "accounts", "chained", "everything"])
def test_the_program_accepts_every_command(case: str) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    found = commands(notes(CHART / "ci" / f"{case}-values.yaml"))
    assert found
    for command in found:
        assert command[0] == "bootstrap"
        parser.parse_args(command[1:])


def test_the_notes_name_the_pitfalls(minimal: str) -> None:
    assert "eks.amazonaws.com/role-arn does nothing here" in minimal
    assert "enableAnonymousAuthentication" in minimal
    assert "WARNING" not in minimal


def test_the_notes_name_the_value_for_proxy_exemptions_of_an_application(minimal: str) -> None:
    assert "NO_PROXY" in minimal
    assert "ownEnv" in minimal


@pytest.mark.rule("SDK 6")
def test_the_notes_warn_of_irsa_annotations_and_short_lifetimes() -> None:
    text = notes(CHART / "ci" / "accounts-values.yaml")
    assert "WARNING: ServiceAccount deployer has the annotation eks.amazonaws.com/role-arn." in text
    assert "WARNING: ServiceAccount deployer, profile writer: durationSeconds 900 is below 1800" in text


def test_the_notes_have_the_command_that_deletes_what_stays_after_an_uninstall(minimal: str) -> None:
    removal = "kubectl delete clusterrolebinding allow-anon-openid"
    assert removal in notes({"bootstrap": {"mode": "apply"}})
    assert removal not in minimal
