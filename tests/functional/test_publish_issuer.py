"""``aws-oidc-sidecar publish-issuer``: AWS accepts the written documents, also during a rotation of the signing key.

The API server is an issuer that AWS cannot reach; AWS reads the directory through a web server.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local.world import World
from sidecar.issuer.publish import KEEP_SECONDS
from sidecar.issuer.site import GONE_FILE
from tests.functional.published import URL, PublishSetup, setup as publish_setup

DISCOVERY, KEYS = ".well-known/openid-configuration", "openid/v1/jwks"
COMMAND = (sys.executable, "-I", "-m", "sidecar", "publish-issuer")


@pytest.fixture
def setup(fresh_world: World, tmp_path: Path) -> Iterator[PublishSetup]:
    with publish_setup(fresh_world, tmp_path) as running:
        yield running


def published(setup: PublishSetup) -> list[str]:
    return [key["kid"] for key in json.loads((setup.directory / KEYS).read_bytes())["keys"]]


# --- AWS with the published documents ---


def test_aws_accepts_a_token_whose_issuer_is_only_in_the_directory(setup: PublishSetup) -> None:
    setup.trust()
    token = setup.cluster.mint()
    assert setup.exchange(token) == "InvalidIdentityToken"
    done = setup.publish()
    kid = setup.cluster.kids[0]
    lines = f"wrote {setup.directory / KEYS}\nwrote {setup.directory / DISCOVERY}\nkey {kid} is new\n"
    assert (done.code, done.out, done.err) == (0, lines, "")
    assert setup.exchange(token) == ""


def test_in_a_rotation_each_token_is_accepted_if_the_new_key_is_published_before_it_signs(setup: PublishSetup) -> None:
    setup.trust()
    setup.publish()
    old = setup.cluster.mint(lifetime_seconds=86_400)
    setup.cluster.announce_key("ES256")
    assert setup.exchange(setup.cluster.mint()) == ""
    assert setup.publish().code == 0
    # Now the new key signs.
    setup.cluster.rotate_key()
    new = setup.cluster.mint(lifetime_seconds=86_400)
    assert (setup.exchange(old), setup.exchange(new)) == ("", "")
    # The cluster no longer has the old key, and a pod still has a token that it signed.
    setup.cluster.retire_old_keys()
    assert "is no longer in the cluster and stays published until " in setup.publish().out
    assert (setup.exchange(old), setup.exchange(new)) == ("", "")
    setup.clock.advance(KEEP_SECONDS)
    assert " is removed\n" in setup.publish().out
    assert (setup.exchange(old), setup.exchange(new)) == ("InvalidIdentityToken", "")


@pytest.mark.rule("Kubernetes D10")
def test_aws_denies_tokens_of_an_unpublished_key_and_check_names_it(setup: PublishSetup) -> None:
    setup.trust()
    setup.publish()
    assert setup.check().code == 0
    kid = setup.cluster.rotate_key()
    assert setup.exchange(setup.cluster.mint()) == "InvalidIdentityToken"
    done = setup.check()
    assert (done.code, done.err) == (7, "")
    assert done.out == f"key {kid} is not published: AWS denies each exchange of a token that it signed\n"
    setup.publish()
    assert (setup.exchange(setup.cluster.mint()), setup.check().code) == ("", 0)


def test_prune_drops_keys_that_the_cluster_does_not_have_at_once(setup: PublishSetup) -> None:
    setup.trust()
    setup.publish()
    old = setup.cluster.mint()
    setup.cluster.rotate_key()
    setup.cluster.retire_old_keys()
    assert setup.publish("--prune").code == 0
    assert published(setup) == list(setup.cluster.kids)
    assert setup.exchange(old) == "InvalidIdentityToken"


# --- the files ---


def test_the_documents_are_those_of_the_cluster_with_the_jwks_uri_of_the_issuer(setup: PublishSetup) -> None:
    setup.cluster.jwks_uri = "https://10.0.0.1:6443/openid/v1/jwks"
    setup.publish()
    document = json.loads((setup.directory / DISCOVERY).read_bytes())
    assert document == json.loads(setup.cluster._discovery()) | {"jwks_uri": f"{URL}/openid/v1/jwks"}
    assert json.loads((setup.directory / KEYS).read_bytes()) == json.loads(setup.cluster._jwks())


def test_the_jwks_uri_can_be_changed(setup: PublishSetup) -> None:
    host, port = setup.site.address
    place = ["--jwks-uri", "https://published.test:8443/openid/v1/jwks"]
    setup.publish(*place)
    assert json.loads((setup.directory / DISCOVERY).read_bytes())["jwks_uri"] == place[1]
    assert setup.check(*place, "--connect-to", f"published.test:8443:{host}:{port}").code == 0


def test_a_second_run_writes_nothing(setup: PublishSetup) -> None:
    setup.publish()
    before = {path: path.stat() for path in setup.directory.rglob("*") if path.is_file()}
    setup.clock.advance(3_600)
    done = setup.publish()
    assert (done.code, done.out) == (
        0,
        f"nothing to do: the documents in {setup.directory} are current for {URL}\n",
    )
    after = {path: path.stat() for path in setup.directory.rglob("*") if path.is_file()}
    assert {path: (found.st_ino, found.st_mtime_ns) for path, found in after.items()} == {
        path: (found.st_ino, found.st_mtime_ns) for path, found in before.items()
    }
    assert sorted(path.name for path in before) == ["jwks", "openid-configuration"]


def test_the_times_of_kept_keys_are_written_once_and_stay(setup: PublishSetup) -> None:
    setup.publish()
    kid = setup.cluster.kids[0]
    setup.cluster.rotate_key()
    setup.cluster.retire_old_keys()
    since = setup.clock.wall
    setup.publish()
    path = setup.directory / GONE_FILE
    assert json.loads(path.read_bytes()) == {"gone": {kid: since}}
    setup.clock.advance(3_600)
    assert setup.publish().out.splitlines()[-1].startswith("nothing to do")
    assert json.loads(path.read_bytes()) == {"gone": {kid: since}}


def test_the_time_of_a_kept_key_can_be_chosen(setup: PublishSetup) -> None:
    setup.publish()
    setup.cluster.rotate_key()
    setup.cluster.retire_old_keys()
    setup.publish("--keep", "100")
    setup.clock.advance(99)
    setup.publish("--keep", "100")
    assert len(published(setup)) == 2
    setup.clock.advance(1)
    setup.publish("--keep", "100")
    assert published(setup) == list(setup.cluster.kids)


def test_any_user_can_read_the_files_with_any_umask(setup: PublishSetup) -> None:
    old = os.umask(0o077)
    try:
        setup.publish()
    finally:
        os.umask(old)
    modes = {path.relative_to(setup.directory): path.stat().st_mode & 0o777 for path in setup.directory.rglob("*")}
    assert modes == {
        Path(".well-known"): 0o755,
        Path(DISCOVERY): 0o644,
        Path("openid"): 0o755,
        Path("openid/v1"): 0o755,
        Path(KEYS): 0o644,
    }
    assert setup.directory.stat().st_mode & 0o777 == 0o755


def test_after_an_error_between_two_files_the_next_run_completes(setup: PublishSetup) -> None:
    setup.publish()
    old = published(setup)
    setup.cluster.rotate_key()
    setup.cluster.retire_old_keys()
    # The key set cannot be written, as on a full disk; the times were written before it.
    path = setup.directory / "openid/v1"
    path.rename(setup.directory / "openid/away")
    path.write_text("")
    with pytest.raises(Exception, match="openid/v1/jwks: cannot be"):
        setup.publish()
    path.unlink()
    (setup.directory / "openid/away").rename(path)
    assert published(setup) == old
    assert setup.publish().code == 0
    assert set(published(setup)) == {*old, *setup.cluster.kids}


def test_json_output_has_the_written_files_and_the_status_of_each_key(setup: PublishSetup) -> None:
    (first,) = setup.cluster.kids
    assert setup.publish("--json").json == {
        "issuer": URL,
        "jwks_uri": f"{URL}/openid/v1/jwks",
        "written": [str(setup.directory / KEYS), str(setup.directory / DISCOVERY)],
        "keys": [{"kid": first, "status": "new", "until": None}],
    }
    second = setup.cluster.rotate_key()
    setup.cluster.retire_old_keys()
    done = setup.publish("--json").json
    assert done["written"] == [str(setup.directory / KEYS)]
    assert done["keys"] == [
        {"kid": second, "status": "new", "until": None},
        {"kid": first, "status": "kept", "until": "2027-01-16T09:00:00Z"},
    ]


# --- the command itself ---


def test_the_process_publishes_from_the_files_of_kubectl(setup: PublishSetup, tmp_path: Path) -> None:
    setup.trust()
    given = ["--issuer", URL, "--to", str(setup.directory), *setup.kubectl_get(tmp_path)]
    done = subprocess.run([*COMMAND, *given], env={}, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert setup.exchange(setup.cluster.mint()) == ""
