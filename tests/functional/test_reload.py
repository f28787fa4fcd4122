"""A profiles file that changes under a running daemon, and across a restart; against the strict AWS."""

import json
import os
import signal

import pytest

from tests.functional.profiles_pod import PROFILES, Pod

DENIED = PROFILES.replace("role_session_name = the-writer", "duration_seconds = 43200")
"""The profile writer requests a longer lifetime than its role allows."""


def started(pod: Pod) -> None:
    for name in ("base", "reader", "writer"):
        pod.sidecar.wait_for("credentials_refreshed", profile=name)


@pytest.mark.mutant(
    "changed settings are not requested before the credentials are due",
    "a reload gives the server profiles that the store does not have yet",
)
def test_profiles_are_added_changed_and_removed_while_it_runs(pod: Pod) -> None:
    started(pod)
    reader = pod.get("reader").body
    pod.volume("extra").mkdir()
    pod.write(PROFILES.replace("the-writer", "another") + "[profile extra]\nrole_arn = {base}\n")
    line = pod.sidecar.wait_for("profiles_reloaded")
    assert (line["added"], line["changed"], line["removed"]) == (["extra"], ["writer"], [])
    pod.sidecar.wait_for("credentials_refreshed", profile="extra")
    pod.sidecar.wait_for("credentials_refreshed", count=2, profile="writer")
    assert pod.arn("writer") == "KubernetesParameterStoreRole/another"
    assert pod.arn("extra") == "KubernetesParameterStoreRole/default-aws-test"

    pod.write(PROFILES[: PROFILES.index("[profile writer]")])
    assert pod.sidecar.wait_for("profiles_reloaded", count=2)["removed"] == ["writer", "extra"]
    for name in ("writer", "extra"):
        assert pod.sidecar.wait_for("credentials_withdrawn", profile=name)["reason"] == "removed"
        assert pod.get(name).status == 403, "the profile has no path any more"
    gone(pod, "writer", "extra")
    assert pod.get("reader").body == reader, "its settings did not change"
    assert pod.sidecar.count("credentials_withdrawn") == 2
    assert pod.sidecar.count("crashed") == pod.sidecar.count("callback_failed") == 0
    assert pod.sidecar.metric("profiles_reloads_total", outcome="success") == 2
    assert b'profile="writer"' not in pod.sidecar.admin("/metrics").body


def gone(pod: Pod, *profiles: str) -> None:
    """Wait until the profiles have no credentials.json."""
    while any((pod.volume(name) / "credentials.json").exists() for name in profiles):
        pod.sidecar.wait(0.02)


@pytest.mark.mutant("changed settings withdraw the credentials")
def test_a_change_that_aws_refuses_takes_nothing_away(pod: Pod) -> None:
    started(pod)
    previous = pod.get("writer").body
    pod.write(DENIED)
    line = pod.sidecar.wait_for("previous_settings_served", profile="writer")
    assert line["role_arn"] == pod.roles["base"]
    assert pod.sidecar.wait_for("exchange_failed", profile="writer")["previous_settings"] is True
    assert pod.get("writer").body == previous
    assert pod.sidecar.admin("/readyz").status == 200
    assert pod.sidecar.metric("credentials_previous_settings", profile="writer") == 1
    pod.write(DENIED.replace("43200", "900"))
    pod.sidecar.wait_for("credentials_refreshed", count=2, profile="writer")
    assert pod.get("writer").body != previous
    assert pod.sidecar.count("credentials_withdrawn") == 0


@pytest.mark.mutant("credentials of a previous role are served although on_change withdraws them")
def test_a_changed_role_is_withdrawn_at_once_where_the_profile_says_so(pod: Pod) -> None:
    started(pod)
    # The trust policy of the reader has no ServiceAccount: AWS always denies this role.
    pod.write(PROFILES.replace("{base}\nrole_session_name", "{reader}\non_change = withdraw-on-role-change\nregion"))
    line = pod.sidecar.wait_for("credentials_withdrawn", profile="writer")
    assert line["reason"] == "role_changed"
    assert pod.get("writer").status == 503


def test_a_profile_that_is_not_served_any_more_is_withdrawn(pod: Pod) -> None:
    started(pod)
    pod.write(PROFILES.replace("role_session_name", "serve = false\nrole_session_name"))
    assert pod.sidecar.wait_for("credentials_withdrawn", profile="writer")["reason"] == "not_served"
    assert pod.get("writer").status == 403
    gone(pod, "writer")


def test_a_source_profile_gets_its_file_when_it_is_served(pod: Pod) -> None:
    started(pod)
    pod.volume("base").mkdir()
    pod.write(PROFILES.replace("serve = false", ""))
    pod.sidecar.wait_for("profiles_reloaded")
    served = pod.get("base").json()["AccessKeyId"]
    while not (pod.volume("base") / "credentials.json").exists():
        pod.sidecar.wait(0.02)
    assert json.loads((pod.volume("base") / "credentials.json").read_text())["AccessKeyId"] == served
    assert pod.sidecar.count("credentials_refreshed") == 3, "no further exchange"


@pytest.mark.mutant("a restart with changed settings drops the credentials")
def test_a_restart_with_a_change_that_aws_refuses_takes_nothing_away(pod: Pod) -> None:
    started(pod)
    previous, reader = pod.get("writer").body, pod.get("reader").body
    saved(pod)
    pod.sidecar.kill()
    pod.write(DENIED)
    pod.start()
    pod.sidecar.wait_for("previous_settings_served", profile="writer")
    pod.sidecar.wait_for("exchange_failed", profile="writer")
    assert (pod.get("writer").body, pod.get("reader").body) == (previous, reader)
    assert pod.sidecar.metric("credentials_previous_settings", profile="writer") == 1
    assert pod.sidecar.metric("credentials_previous_settings", profile="reader") == 0


def test_a_restart_with_another_role_withdraws_the_credentials_with_on_change(pod: Pod) -> None:
    started(pod)
    saved(pod)
    pod.sidecar.kill()
    pod.write(PROFILES.replace("{base}\nrole_session_name", "{reader}\non_change = withdraw-on-role-change\nregion"))
    pod.start()
    pod.sidecar.wait_for("started")
    assert pod.get("writer").status == 503
    gone(pod, "writer")
    while (pod.home / "run" / "state" / "writer.json").exists():
        pod.sidecar.wait(0.02)


def test_a_restart_removes_the_files_of_a_removed_profile(pod: Pod) -> None:
    started(pod)
    saved(pod)
    pod.sidecar.kill()
    assert (pod.volume("writer") / "credentials.json").exists()
    pod.write(PROFILES[: PROFILES.index("[profile writer]")])
    pod.start()
    pod.sidecar.wait_for("started")
    gone(pod, "writer")
    while (pod.home / "run" / "state" / "writer.json").exists():
        pod.sidecar.wait(0.02)


def saved(pod: Pod) -> None:
    """Wait until the state volume has the credentials of every profile."""
    while {path.name for path in (pod.home / "run" / "state").glob("[a-z]*")} != {
        "base.json", "reader.json", "writer.json",
    }:  # fmt: skip
        pod.sidecar.wait(0.02)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[profile reader", ":1"),
        ("[profile reader]\nrole_arn = nonsense\n", "[profile reader] role_arn"),
        ("[profile reader]\nrole_arn = {base}\nsource_profile = reader\n", "[reader]"),
        ("[profile nowhere]\nrole_arn = {base}\n", ""),
    ],
)
def test_an_invalid_file_is_reported_and_the_previous_settings_stay(pod: Pod, text: str, where: str) -> None:
    pod.sidecar.wait_for("credentials_refreshed", profile="reader")
    before = pod.sidecar.get("/v1/credentials/reader", token=pod.token("reader")).body
    pod.write(text)
    line = pod.sidecar.wait_for("profiles_rejected")
    assert line["where"].endswith(where)
    assert line["fix"]
    assert pod.sidecar.get("/v1/credentials/reader", token=pod.token("reader")).body == before
    pod.write(PROFILES)
    pod.sidecar.wait_for("profiles_reloaded")


def test_sighup_reloads_and_refreshes_every_profile(pod: Pod) -> None:
    for name in ("base", "reader", "writer"):
        pod.sidecar.wait_for("credentials_refreshed", profile=name)
    os.kill(pod.sidecar.process.pid, signal.SIGHUP)
    pod.sidecar.wait_for("profiles_reloaded")
    for name in ("base", "reader", "writer"):
        pod.sidecar.wait_for("credentials_refreshed", count=2, profile=name)
