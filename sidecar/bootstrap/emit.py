"""Converts changes to a shell script of AWS CLI commands. Pure."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sidecar.bootstrap.state import Change, removals
from sidecar.iam.policies import items

__all__ = ("script",)

_FLAGS: Final[Mapping[str, str]] = {
    "Url": "--url",
    "ClientIDList": "--client-id-list",
    "ClientID": "--client-id",
    "ThumbprintList": "--thumbprint-list",
    "OpenIDConnectProviderArn": "--open-id-connect-provider-arn",
    "RoleName": "--role-name",
    "Path": "--path",
    "Description": "--description",
    "AssumeRolePolicyDocument": "--assume-role-policy-document",
    "PolicyDocument": "--policy-document",
    "PolicyName": "--policy-name",
    "PolicyArn": "--policy-arn",
    "MaxSessionDuration": "--max-session-duration",
    "Tags": "--tags",
}
_HEAD: Final = """\
#!/bin/sh
# Lets tokens of an OIDC issuer assume roles in account {account}. From `aws-oidc-sidecar bootstrap aws --emit cli`.
# {begins}
set -eu
AWS_PAGER=
export AWS_PAGER
"""
_FROM_NOTHING: Final = (
    "It creates everything and removes nothing. If something exists already, aws reports it and the script stops."
)
_REPLACES: Final = "As --replace, it changes what existed when the script was printed into what was configured."


def script(changes: Sequence[Change], account: str, notes: Iterable[str] = (), *, replaces: bool = False) -> str:
    """Return a script that makes these changes; the head of the script lists what they remove or shorten.

    Args:
        changes: the changes, in order.
        account: the account id.
        notes: lines for the head of the script.
        replaces: whether the changes start from what exists; otherwise they create everything.
    """
    removed = [f"removes: {line}" for line in removals(changes)]
    head = _HEAD.format(account=account, begins=_REPLACES if replaces else _FROM_NOTHING)
    lines = [head + "".join(f"# {_comment(note)}\n" for note in (*notes, *removed))]
    target = ""
    created: dict[str, str] = {}
    for change in changes:
        if change.target != target:
            target = change.target
            lines.append(f"\n# {target}\n")
        lines.append(_command(change, created))
        if change.operation == "CreateRole":
            name = change.parameters["RoleName"]
            created[f"{account}:role{change.parameters['Path']}{name}"] = name
    return "".join(lines)


def _comment(text: str) -> str:
    """A name in IAM with a line feed must not end the comment."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _command(change: Change, created: Mapping[str, str]) -> str:
    parts = ["aws", "iam", change.kind]
    for name, value in change.parameters.items():
        # A list as JSON: in its shorthand form, the CLI would fetch a client id that begins with https://.
        text = json.dumps(value, separators=(",", ":")) if isinstance(value, list) else str(value)
        parts.append(f"{_FLAGS[name]} {shlex.quote(text)}")
    why = f"# {change.why}\n" if change.why else ""
    wait = _wait(change, created)
    return f"{why}{wait}{' '.join(parts[:3])} \\\n  " + " \\\n  ".join(parts[3:]) + "\n"


def _wait(change: Change, created: Mapping[str, str]) -> str:
    """Wait for roles that the script has created; another role may be in an account that it cannot read."""
    if change.operation != "CreateRole" or '"Principal":{"AWS":' not in str(change.parameters):
        return ""
    arns = items(json.loads(change.parameters["AssumeRolePolicyDocument"])["Statement"][0]["Principal"]["AWS"])
    names = [created[arn.partition("::")[2]] for arn in arns if arn.partition("::")[2] in created]
    if not names:
        return ""
    waits = "".join(f"aws iam wait role-exists --role-name {shlex.quote(name)}\n" for name in names)
    return (
        "# IAM needs some seconds before a trust policy can name a new role; if it is rejected, repeat from here.\n"
        f"{waits}"
    )
