"""``aws-oidc-sidecar publish-issuer``: what it writes is all that AWS needs, through a rotation of the signing key.

The API server is an issuer that AWS cannot reach; AWS reads what a web server serves of the directory.
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
from sidecar.publish_site import GONE_FILE
from tests.functional.published import URL, Stage, stage as set_stage

DISCOVERY, KEYS = ".well-known/openid-configuration", "openid/v1/jwks"
COMMAND = (sys.executable, "-I", "-m", "sidecar", "publish-issuer")


@pytest.fixture
def stage(fresh_world: World, tmp_path: Path) -> Iterator[Stage]:
    with set_stage(fresh_world, tmp_path) as running:
        yield running


def published(stage: Stage) -> list[str]:
    return [key["kid"] for key in json.loads((stage.directory / KEYS).read_bytes())["keys"]]


# --- what AWS makes of it ---


def test_aws_takes_a_token_of_an_issuer_that_is_only_in_the_directory(stage: Stage) -> None:
    stage.trust()
    token = stage.cluster.mint()
    assert stage.exchange(token) == "InvalidIdentityToken"
    done = stage.publish()
    kid = stage.cluster.kids[0]
    lines = f"wrote {stage.directory / KEYS}\nwrote {stage.directory / DISCOVERY}\nkey {kid} is new\n"
    assert (done.code, done.out, done.err) == (0, lines, "")
    assert stage.exchange(token) == ""


def test_a_rotation_refuses_no_token_where_the_new_key_is_published_before_it_signs(stage: Stage) -> None:
    stage.trust()
    stage.publish()
    old = stage.cluster.mint(lifetime_seconds=86_400)
    stage.cluster.announce_key("ES256")
    assert stage.exchange(stage.cluster.mint()) == ""
    assert stage.publish().code == 0
    # From here on the new key signs.
    stage.cluster.rotate_key()
    new = stage.cluster.mint(lifetime_seconds=86_400)
    assert (stage.exchange(old), stage.exchange(new)) == ("", "")
    # The cluster has the old one no more, and a pod still has a token of it.
    stage.cluster.retire_old_keys()
    assert "is gone from the cluster and kept until " in stage.publish().out
    assert (stage.exchange(old), stage.exchange(new)) == ("", "")
    stage.clock.advance(KEEP_SECONDS)
    assert " is dropped\n" in stage.publish().out
    assert (stage.exchange(old), stage.exchange(new)) == ("InvalidIdentityToken", "")


def test_a_key_that_signs_before_it_is_published_is_refused_by_aws_and_named_by_check(stage: Stage) -> None:
    stage.trust()
    stage.publish()
    assert stage.check().code == 0
    kid = stage.cluster.rotate_key()
    assert stage.exchange(stage.cluster.mint()) == "InvalidIdentityToken"
    done = stage.check()
    assert (done.code, done.err) == (7, "")
    assert done.out == f"key {kid} is not published: AWS refuses every token that it signs\n"
    stage.publish()
    assert (stage.exchange(stage.cluster.mint()), stage.check().code) == ("", 0)


def test_prune_drops_what_the_cluster_does_not_have_at_once(stage: Stage) -> None:
    stage.trust()
    stage.publish()
    old = stage.cluster.mint()
    stage.cluster.rotate_key()
    stage.cluster.retire_old_keys()
    assert stage.publish("--prune").code == 0
    assert published(stage) == list(stage.cluster.kids)
    assert stage.exchange(old) == "InvalidIdentityToken"


# --- the files ---


def test_the_documents_are_the_clusters_at_the_issuers_own_place(stage: Stage) -> None:
    stage.cluster.jwks_uri = "https://10.0.0.1:6443/openid/v1/jwks"
    stage.publish()
    document = json.loads((stage.directory / DISCOVERY).read_bytes())
    assert document == json.loads(stage.cluster._discovery()) | {"jwks_uri": f"{URL}/openid/v1/jwks"}
    assert json.loads((stage.directory / KEYS).read_bytes()) == json.loads(stage.cluster._jwks())


def test_the_keys_may_be_said_to_be_elsewhere(stage: Stage) -> None:
    host, port = stage.site.address
    place = ["--jwks-uri", "https://published.test:8443/openid/v1/jwks"]
    stage.publish(*place)
    assert json.loads((stage.directory / DISCOVERY).read_bytes())["jwks_uri"] == place[1]
    assert stage.check(*place, "--connect-to", f"published.test:8443:{host}:{port}").code == 0


def test_a_second_time_there_is_nothing_to_do(stage: Stage) -> None:
    stage.publish()
    before = {path: path.stat() for path in stage.directory.rglob("*") if path.is_file()}
    stage.clock.advance(3_600)
    done = stage.publish()
    assert (done.code, done.out) == (
        0,
        f"nothing to do: what {stage.directory} holds is what {URL} has to serve\n",
    )
    after = {path: path.stat() for path in stage.directory.rglob("*") if path.is_file()}
    assert {path: (found.st_ino, found.st_mtime_ns) for path, found in after.items()} == {
        path: (found.st_ino, found.st_mtime_ns) for path, found in before.items()
    }
    assert sorted(path.name for path in before) == ["jwks", "openid-configuration"]


def test_the_times_of_kept_keys_are_written_once_and_stay(stage: Stage) -> None:
    stage.publish()
    kid = stage.cluster.kids[0]
    stage.cluster.rotate_key()
    stage.cluster.retire_old_keys()
    since = stage.clock.wall
    stage.publish()
    path = stage.directory / GONE_FILE
    assert json.loads(path.read_bytes()) == {"gone": {kid: since}}
    stage.clock.advance(3_600)
    assert stage.publish().out.splitlines()[-1].startswith("nothing to do")
    assert json.loads(path.read_bytes()) == {"gone": {kid: since}}


def test_the_time_of_a_kept_key_can_be_chosen(stage: Stage) -> None:
    stage.publish()
    stage.cluster.rotate_key()
    stage.cluster.retire_old_keys()
    stage.publish("--keep", "100")
    stage.clock.advance(99)
    stage.publish("--keep", "100")
    assert len(published(stage)) == 2
    stage.clock.advance(1)
    stage.publish("--keep", "100")
    assert published(stage) == list(stage.cluster.kids)


def test_every_user_of_a_web_server_may_read_whatever_the_umask(stage: Stage) -> None:
    old = os.umask(0o077)
    try:
        stage.publish()
    finally:
        os.umask(old)
    modes = {path.relative_to(stage.directory): path.stat().st_mode & 0o777 for path in stage.directory.rglob("*")}
    assert modes == {
        Path(".well-known"): 0o755,
        Path(DISCOVERY): 0o644,
        Path("openid"): 0o755,
        Path("openid/v1"): 0o755,
        Path(KEYS): 0o644,
    }
    assert stage.directory.stat().st_mode & 0o777 == 0o755


def test_ended_between_two_files_it_goes_on_the_next_time(stage: Stage) -> None:
    stage.publish()
    old = published(stage)
    stage.cluster.rotate_key()
    stage.cluster.retire_old_keys()
    # The key set cannot be replaced, as on a full disk; the times were written before.
    path = stage.directory / "openid/v1"
    path.rename(stage.directory / "openid/away")
    path.write_text("")
    with pytest.raises(Exception, match="openid/v1/jwks: cannot be"):
        stage.publish()
    path.unlink()
    (stage.directory / "openid/away").rename(path)
    assert published(stage) == old
    assert stage.publish().code == 0
    assert set(published(stage)) == {*old, *stage.cluster.kids}


def test_as_json_it_tells_what_it_wrote_and_what_became_of_each_key(stage: Stage) -> None:
    (first,) = stage.cluster.kids
    assert stage.publish("--json").json == {
        "issuer": URL,
        "jwks_uri": f"{URL}/openid/v1/jwks",
        "written": [str(stage.directory / KEYS), str(stage.directory / DISCOVERY)],
        "keys": [{"kid": first, "status": "new", "until": None}],
    }
    second = stage.cluster.rotate_key()
    stage.cluster.retire_old_keys()
    done = stage.publish("--json").json
    assert done["written"] == [str(stage.directory / KEYS)]
    assert done["keys"] == [
        {"kid": second, "status": "new", "until": None},
        {"kid": first, "status": "kept", "until": "2027-01-16T09:00:00Z"},
    ]


# --- the command itself ---


def test_from_the_files_of_kubectl_and_as_a_process(stage: Stage, tmp_path: Path) -> None:
    stage.trust()
    given = ["--issuer", URL, "--to", str(stage.directory), *stage.kubectl_get(tmp_path)]
    done = subprocess.run([*COMMAND, *given], env={}, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert stage.exchange(stage.cluster.mint()) == ""
