"""A migration between issuers with the steps of docs/issuers.md, while pods exchange their tokens all the time."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.local.issuer import Issuer
from examples.local.world import AUDIENCE, NAMESPACE, READ_ONLY_POLICY, ROLE, SERVICE_ACCOUNT, World
from tests.functional.published import URL, StaticServer
from tests.local.calls import web_identity

OLD = "https://issuer.test"
MOVED = "https://moved.test"
SIDECAR = (sys.executable, "-I", "-m", "sidecar")
HOUR = 3_600


class Pods:
    """Pods that exchange their current tokens again and again."""

    def __init__(self, world: World) -> None:
        self.tokens: dict[str, str] = {}
        self.denied: list[tuple[str, str]] = []
        self._world = world
        self._rounds = 0
        self._turn = threading.Condition()
        self._over = threading.Event()

    def all_exchanged(self) -> bool:
        """Wait until each current token was exchanged, and return whether no exchange was denied so far."""
        with self._turn:
            # The current round may have begun before this call.
            wanted = self._rounds + 2
            assert self._turn.wait_for(lambda: self._rounds >= wanted, timeout=30)
        return self.denied == []

    @contextmanager
    def running(self) -> Iterator["Pods"]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            for pod, token in list(self.tokens.items()):
                answer = web_identity(self._world, token)
                if answer.status != 200:
                    self.denied.append((pod, answer.text))
            with self._turn:
                self._rounds += 1
                self._turn.notify_all()


def sidecar(world: World, *arguments: str) -> str:
    """Run a command of the program as an administrator, and return its output."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": world.aws.admin.access_key_id,
        "AWS_SECRET_ACCESS_KEY": world.aws.admin.secret_access_key,
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": world.aws.url,
    }
    at = {f"{name}:{port}:{address}:{of}" for (name, port), (address, of) in world.aws.connect_to.items()}
    given = [*arguments, *(part for home in sorted(at) for part in ("--connect-to", home))]
    done = subprocess.run([*SIDECAR, *given], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trust(world: World, *issuers: str, only: bool = False) -> None:
    """Run `bootstrap aws` for the role and these issuers; with `only`, the role then trusts no other issuer."""
    first, *others = issuers
    also = [part for other in others for part in ("--also-trust", other)]
    account = f"{NAMESPACE}/{SERVICE_ACCOUNT}"
    role = ["--role", ROLE, "--service-account", account, "--policy-arn", READ_ONLY_POLICY]
    sidecar(world, "bootstrap", "aws", "--issuer", first, *also, *role, *(["--replace"] if only else []))


def providers(world: World) -> set[str]:
    listed = world.admin_client("iam").list_open_id_connect_providers()["OpenIDConnectProviderList"]
    return {"https://" + entry["Arn"].partition(":oidc-provider/")[2] for entry in listed}


def test_a_migration_between_issuers_has_no_denied_exchange(fresh_world: World) -> None:
    world = fresh_world
    with Issuer(MOVED, clock=world.clock) as moved, Pods(world).running() as pods:
        trust(world, OLD)
        pods.tokens["a"] = world.issuer.mint()
        assert pods.all_exchanged(), pods.denied
        # 1. The new issuer serves its documents, and no pod has a token of it.
        world.aws.connect_to.update(moved.connect_to)
        # 2. AWS trusts both, and the role is tagged for the new issuer from now on.
        trust(world, MOVED, OLD)
        assert providers(world) == {OLD, MOVED}
        assert pods.all_exchanged(), pods.denied
        # 3. The API server signs as the new issuer: a new pod has a new token, the other pod still has the old token.
        pods.tokens["b"] = moved.mint()
        assert pods.all_exchanged(), pods.denied
        # 4. The kubelet replaces the old token.
        pods.tokens["a"] = moved.mint()
        assert pods.all_exchanged(), pods.denied
        # 5. AWS trusts only the new issuer.
        trust(world, MOVED, only=True)
        assert pods.all_exchanged(), pods.denied
        # 6. The old provider is removed.
        sidecar(world, "bootstrap", "aws", "--destroy", "--issuer", OLD)
        assert providers(world) == {MOVED}
        assert pods.all_exchanged(), pods.denied
        assert web_identity(world, world.issuer.mint()).code == "InvalidIdentityToken"


def test_in_another_order_exchanges_are_denied(fresh_world: World) -> None:
    with Issuer(MOVED, clock=fresh_world.clock) as moved, Pods(fresh_world).running() as pods:
        fresh_world.aws.connect_to.update(moved.connect_to)
        trust(fresh_world, OLD)
        pods.tokens["b"] = moved.mint()
        assert not pods.all_exchanged()


@pytest.fixture
def api_server(fresh_world: World, tmp_path: Path) -> list[str]:
    """Options of publish-issuer to read the API server of https://issuer.test."""
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text(fresh_world.issuer.ca_pem)
    return ["--from", OLD, "--ca-file", str(ca_file)]


def sign(world: World, issuer: str) -> str:
    """Return a token of the API server for one of its issuers: the same key signs for all of them."""
    now = int(world.clock())
    claims = world.issuer.claims(namespace=NAMESPACE, service_account=SERVICE_ACCOUNT, pod="a", node="node-1")
    times = {"iat": now, "nbf": now, "exp": now + HOUR}
    return world.issuer.sign(claims | times | {"iss": issuer, "aud": [AUDIENCE]})


def test_in_a_migration_from_direct_to_published_old_tokens_end_when_the_api_server_names_the_new_issuer(
    fresh_world: World, api_server: list[str], tmp_path: Path
) -> None:
    world, site = fresh_world, StaticServer(tmp_path / "site")
    publish = ["publish-issuer", "--issuer", URL, *api_server]
    with site.serving(), Pods(world).running() as pods:
        trust(world, OLD)
        pods.tokens["a"] = sign(world, OLD)
        # 1. The documents are served before any token names them.
        world.aws.connect_to["published.test", 443] = site.address
        sidecar(world, *publish, "--to", str(site.directory), "--allow-issuer-mismatch")
        sidecar(world, *publish, "--check", "--allow-issuer-mismatch")
        # 2. AWS trusts both.
        trust(world, URL, OLD)
        assert pods.all_exchanged(), pods.denied
        # 3. The API server gets its two flags. Its document names the first, so for AWS it is no longer the old issuer:
        # a pod has credentials for 20 minutes at least, and is restarted in that time.
        del pods.tokens["a"]
        assert pods.all_exchanged(), pods.denied
        world.issuer.advertised_issuer = URL
        assert web_identity(world, sign(world, OLD)).code == "InvalidIdentityToken"
        pods.tokens |= {"a": sign(world, URL), "b": sign(world, URL)}
        sidecar(world, *publish, "--check")
        assert pods.all_exchanged(), pods.denied
        # 5. and 6. as above.
        trust(world, URL, only=True)
        sidecar(world, "bootstrap", "aws", "--destroy", "--issuer", OLD)
        assert pods.all_exchanged(), pods.denied
        assert providers(world) == {URL}


def test_published_documents_of_the_old_issuer_stay_valid_after_the_migration_and_a_key_rotation(
    fresh_world: World, api_server: list[str], tmp_path: Path
) -> None:
    world, site = fresh_world, StaticServer(tmp_path / "site")
    publish = ["publish-issuer", "--issuer", URL, *api_server, "--to", str(site.directory)]
    with site.serving(), Pods(world).running() as pods:
        world.aws.connect_to["published.test", 443] = site.address
        world.issuer.advertised_issuer = URL
        sidecar(world, *publish)
        trust(world, URL)
        pods.tokens["a"] = sign(world, URL)
        assert pods.all_exchanged(), pods.denied
        # The API server becomes an issuer itself; the published documents stay.
        world.issuer.advertised_issuer = OLD
        trust(world, OLD, URL)
        pods.tokens["b"] = sign(world, OLD)
        assert pods.all_exchanged(), pods.denied
        # Its key is rotated before the last old token expires: the documents have to be published again.
        world.issuer.announce_key()
        sidecar(world, *publish, "--allow-issuer-mismatch")
        world.issuer.rotate_key()
        pods.tokens |= {"a": sign(world, URL), "c": sign(world, OLD)}
        assert pods.all_exchanged(), pods.denied
