"""A pod with several roles: a daemon that runs from a profiles file, against the strict AWS."""

import json
from collections.abc import Callable
from pathlib import Path

from examples.local.process import Answer, Sidecar
from examples.local.world import World

__all__ = ("PROFILES", "Pod")

Run = Callable[..., Sidecar]

PROFILES = """
[profile base]
role_arn = {base}
serve = false

[profile reader]
role_arn = {reader}
source_profile = base
external_id = reader-of-parameters

[profile writer]
role_arn = {base}
role_session_name = the-writer
"""


class Pod:
    """A pod whose sidecar runs from a profiles file.

    Args:
        world: its AWS.
        run_sidecar: starts the daemon.
        role_arn: the role of `base` and `writer`.
        home: holds the profiles file and the volumes.
    """

    def __init__(self, world: World, run_sidecar: Run, role_arn: str, home: Path) -> None:
        self.world, self.home = world, home
        self.file = home / "profiles.conf"
        self.roles = {"base": role_arn, "reader": chained_role(world, "Reader", role_arn)}
        for name in ("reader", "writer"):
            self.volume(name).mkdir(parents=True)
        self._run = run_sidecar
        self.write(PROFILES)
        self.start()

    def start(self) -> None:
        """Start the daemon, also after a kill; the volumes are unchanged."""
        # The file and AWS_ROLE_ARN contradict each other; the file is used.
        self.sidecar = self._run({"AWS_ROLE_ARN": ""}, profiles_file=str(self.file))

    def write(self, text: str) -> None:
        """Replace the file, as in a mounted ConfigMap."""
        new = self.home / "profiles.new"
        new.write_text(text.format(**self.roles))
        new.rename(self.file)

    def token(self, profile: str) -> str:
        """Return the content of the application's auth-token file."""
        return (self.volume(profile) / "auth-token").read_text()

    def get(self, profile: str) -> Answer:
        """Request the credentials of a profile as its application does."""
        return self.sidecar.get(f"/v1/credentials/{profile}", token=self.token(profile))

    def volume(self, profile: str) -> Path:
        """Return the directory of a profile's volume."""
        return self.home / "run" / "profiles" / profile

    def arn(self, profile: str) -> str:
        """Return role name and session name of the credentials that this profile serves, from AWS."""
        answer = self.get(profile)
        assert answer.status == 200, answer.body
        key = answer.json()["AccessKeyId"]
        (issued,) = [issued for issued in self.world.aws.issued() if issued.access_key_id == key]
        return f"{issued.caller.role_arn.rpartition('/')[2]}/{issued.session_name}"


def chained_role(world: World, name: str, source_arn: str) -> str:
    """Create a role that the source role can assume with the external ID of ``PROFILES``; return its ARN."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": source_arn},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "reader-of-parameters"}},
            }
        ],
    }
    role = world.admin_client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    return role["Role"]["Arn"]
