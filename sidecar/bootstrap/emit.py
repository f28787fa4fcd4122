"""Changes as lines of the AWS CLI for sh. Pure."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sidecar.bootstrap.policies import items
from sidecar.bootstrap.state import Change

__all__ = ("script",)

_FLAGS: Final[Mapping[str, str]] = {
    "Url": "--url",
    "ClientIDList": "--client-id-list",
    "ClientID": "--client-id",
    "ThumbprintList": "--thumbprint-list",
    "OpenIDConnectProviderArn": "--open-id-connect-provider-arn",
    "RoleName": "--role-name",
    "Path": "--path",
    "AssumeRolePolicyDocument": "--assume-role-policy-document",
    "PolicyDocument": "--policy-document",
    "PolicyName": "--policy-name",
    "PolicyArn": "--policy-arn",
    "MaxSessionDuration": "--max-session-duration",
    "Tags": "--tags",
}
_HEAD: Final = """\
#!/bin/sh
# Lets tokens of an OIDC issuer assume roles, in account {account}. Of `aws-oidc-sidecar bootstrap aws --emit cli`.
# It begins with nothing: where something is there already, aws says so and this ends.
set -eu
AWS_PAGER=
export AWS_PAGER
"""


def script(changes: Sequence[Change], account: str, notes: Iterable[str] = ()) -> str:
    """Return a script that makes these changes.

    Args:
        changes: in their order.
        account: its id.
        notes: lines for a person, put at the top.
    """
    lines = [_HEAD.format(account=account) + "".join(f"# {note}\n" for note in notes)]
    target = ""
    made: dict[str, str] = {}
    for change in changes:
        if change.target != target:
            target = change.target
            lines.append(f"\n# {target}\n")
        lines.append(_command(change, made))
        if change.operation == "CreateRole":
            name = change.parameters["RoleName"]
            made[f"{account}:role{change.parameters['Path']}{name}"] = name
    return "".join(lines)


def _command(change: Change, made: Mapping[str, str]) -> str:
    parts = ["aws", "iam", change.kind]
    for name, value in change.parameters.items():
        # A list as JSON: in one of its own words, the CLI would fetch a client id that begins with https://.
        text = json.dumps(value, separators=(",", ":")) if isinstance(value, list) else str(value)
        parts.append(f"{_FLAGS[name]} {shlex.quote(text)}")
    why = f"# {change.why}\n" if change.why else ""
    wait = _wait(change, made)
    return f"{why}{wait}{' '.join(parts[:3])} \\\n  " + " \\\n  ".join(parts[3:]) + "\n"


def _wait(change: Change, made: Mapping[str, str]) -> str:
    """Only for roles that the script has made by now: any other may be of an account that cannot be asked here."""
    if change.operation != "CreateRole" or '"Principal":{"AWS":' not in str(change.parameters):
        return ""
    arns = items(json.loads(change.parameters["AssumeRolePolicyDocument"])["Statement"][0]["Principal"]["AWS"])
    names = [made[arn.partition("::")[2]] for arn in arns if arn.partition("::")[2] in made]
    if not names:
        return ""
    waits = "".join(f"aws iam wait role-exists --role-name {shlex.quote(name)}\n" for name in names)
    return (
        f"# IAM needs some seconds until a new role can be named by another; if it says so, repeat from here.\n{waits}"
    )
