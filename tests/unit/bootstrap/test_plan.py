"""The planned changes between the state of IAM and a ``Spec``."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.bootstrap.ownership import own_tags
from sidecar.bootstrap.plan import PlanOptions, plan
from sidecar.bootstrap.remarks import unchanged_extras
from sidecar.bootstrap.removal import removal
from sidecar.bootstrap.spec import Issuer, RoleSpec, Spec
from sidecar.bootstrap.state import OPERATIONS, Account, Change, Observed
from sidecar.bootstrap.wanted import Wanted
from sidecar.errors import SettingsError
from sidecar.iam.account import Provider, Role

_ACCOUNT = Account("123456789012")
_ISSUER = Issuer("https://issuer.test")
_ARN = _ACCOUNT.provider_arn(_ISSUER)
_FIRST = RoleSpec("First", ("s",), policy_arns=("arn:aws:iam::aws:policy/R",))
_SECOND = RoleSpec("Second", assumed_by=("First",), session_tags=True)
_SPEC = Spec((_ISSUER,), (_FIRST, _SECOND))
_PRINT, _OLD = "a" * 40, "b" * 40
_OURS = own_tags(_ISSUER)


def _plan(spec: Spec = _SPEC, observed: Observed | None = None, **options: Any) -> tuple[Change, ...]:  # noqa: ANN401
    prints = {issuer.url: (_PRINT,) for issuer in spec.issuers}
    return plan(spec, observed or Observed(_ACCOUNT), options.pop("prints", prints), PlanOptions(**options))


def _operations(changes: tuple[Change, ...]) -> list[str]:
    return [change.operation for change in changes]


def _there(**changed: Any) -> Observed:  # noqa: ANN401 - passed on
    """Return the state after a complete run, with these changes of the provider."""
    provider = Provider(_ARN, "issuer.test", ("sts.amazonaws.com",), (_PRINT,), _OURS)
    return Observed(
        _ACCOUNT,
        {_ARN: replace(provider, **changed)},
        {
            "First": Role(
                _ACCOUNT.role_arn("", "First"),
                Wanted(_SPEC, _ACCOUNT).trust(_FIRST),
                policy_arns=_FIRST.policy_arns,
                inline={"aws-oidc-sidecar-assume-Second": json.loads(_inline_of_first())},
                tags=_OURS,
            ),
            "Second": Role(_ACCOUNT.role_arn("", "Second"), Wanted(_SPEC, _ACCOUNT).trust(_SECOND), tags=_OURS),
        },
        {_ARN: ("First",)},
    )


def _inline_of_first() -> str:
    return next(str(one.parameters["PolicyDocument"]) for one in _plan() if one.operation == "PutRolePolicy")


def test_in_an_empty_account_a_role_is_created_after_the_roles_in_its_trust_policy() -> None:
    changes = _plan()
    assert _operations(changes) == [
        "CreateOpenIDConnectProvider", "CreateRole", "AttachRolePolicy", "PutRolePolicy", "CreateRole",
    ]  # fmt: skip
    assert [change.target for change in changes if change.operation == "CreateRole"] == ["role First", "role Second"]


def test_a_created_object_is_tagged_in_the_same_call() -> None:
    made = [change for change in _plan() if change.operation.startswith("Create")]
    for change in made:
        assert {"Key": "managed-by", "Value": "aws-oidc-sidecar"} in change.parameters["Tags"]
        assert {"Key": "aws-oidc-sidecar/issuer", "Value": "issuer.test"} in change.parameters["Tags"]


def test_no_change_is_planned_if_everything_exists() -> None:
    assert _plan(observed=_there()) == ()


def test_thumbprints_that_iam_does_not_use_are_not_registered_or_changed() -> None:
    none: dict[str, Any] = {"prints": {_ISSUER.url: ()}}
    assert "ThumbprintList" not in _plan(**none)[0].parameters
    assert _plan(observed=_there(thumbprints=(_OLD,)), prune=True, **none) == ()
    unknown: dict[str, Any] = {"prints": {_ISSUER.url: None}}
    assert _plan(observed=_there(thumbprints=(_OLD,)), prune=True, **unknown) == ()


@pytest.mark.parametrize(
    ("old", "prune", "new"),
    [
        ((_OLD,), False, [_PRINT, _OLD]),
        ((_OLD,), True, [_PRINT]),
        ((_PRINT, _OLD), True, [_PRINT]),
        ((_PRINT, _OLD), False, None),
    ],
)
def test_new_thumbprints_come_before_old_ones(old: tuple[str, ...], prune: bool, new: list[str] | None) -> None:  # noqa: FBT001
    changes = _plan(observed=_there(thumbprints=old), prune=prune)
    assert [change.parameters["ThumbprintList"] for change in changes] == ([new] if new else [])


def test_missing_client_ids_are_added_and_none_is_removed() -> None:
    changes = _plan(observed=_there(client_ids=("vault",)))
    assert [dict(change.parameters) for change in changes] == [
        {"OpenIDConnectProviderArn": _ARN, "ClientID": "sts.amazonaws.com"}
    ]
    with pytest.raises(SettingsError, match="more than 100 client ids"):
        _plan(observed=_there(client_ids=tuple(map(str, range(100)))))


def test_what_others_created_is_marked_and_not_tagged() -> None:
    changes = _plan(observed=_there(tags={}, client_ids=("vault",)))
    assert [(change.operation, change.foreign) for change in changes] == [("AddClientIDToOpenIDConnectProvider", True)]
    adopted = _plan(observed=_there(tags={}, client_ids=("vault",)), adopt=True)
    assert [(change.operation, change.foreign) for change in adopted] == [
        ("AddClientIDToOpenIDConnectProvider", False),
        ("TagOpenIDConnectProvider", False),
    ]
    assert {"Key": "aws-oidc-sidecar/adopted", "Value": "true"} in adopted[1].parameters["Tags"]
    assert _plan(observed=_there(tags={})) == (), "no change, so --adopt is not needed"


def test_a_role_tagged_for_one_of_the_issuers_is_managed_and_gets_the_tag_of_the_first() -> None:
    new = Issuer("https://new.test")
    both = replace(_SPEC, issuers=(new, _ISSUER))
    changes = [change for change in _plan(both, _there()) if change.target == "role First"]
    assert [(change.operation, change.foreign) for change in changes] == [
        ("UpdateAssumeRolePolicy", False),
        ("TagRole", False),
    ]
    statements = json.loads(changes[0].parameters["PolicyDocument"])["Statement"]
    assert [one["Principal"]["Federated"] for one in statements] == [_ARN, _ACCOUNT.provider_arn(new)]
    assert changes[1].parameters["Tags"] == [{"Key": "aws-oidc-sidecar/issuer", "Value": "new.test"}]


def test_exact_subjects_and_patterns_get_separate_statements() -> None:
    statements = Wanted(_SPEC, _ACCOUNT).trust(RoleSpec("A", ("x",), ("y*",)))["Statement"]
    assert [sorted(one["Condition"]) for one in statements] == [["StringEquals"], ["StringEquals", "StringLike"]]


def test_a_path_cannot_be_changed() -> None:
    with pytest.raises(SettingsError, match=r"^role First: exists with the path /; "):
        _plan(replace(_SPEC, roles=(replace(_FIRST, path="/p/"),)), _there())


def test_policies_of_another_partition_are_rejected() -> None:
    with pytest.raises(SettingsError, match=r"^role First: .* is in another partition"):
        _plan(observed=Observed(Account("123456789012", "aws-cn")))


@pytest.mark.parametrize("lengths", [(10_240,), (5_120, 5_120)])
def test_inline_policies_over_the_quota_of_a_role_are_rejected(lengths: tuple[int, ...]) -> None:
    inline = {f"p{number}": {"Statement": "x" * length} for number, length in enumerate(lengths)}
    with pytest.raises(SettingsError, match=r"^role First: inline policies: are over 10240 characters together; "):
        _plan(replace(_SPEC, roles=(RoleSpec("First", ("s",), inline=inline),)))
    shorter = {name: {"Statement": policy["Statement"][100:]} for name, policy in inline.items()}
    assert _plan(replace(_SPEC, roles=(RoleSpec("First", ("s",), inline=shorter),)))


@pytest.mark.parametrize(
    ("tags", "added"),
    [
        (_OURS, {"team": "a"}),
        (_OURS | {"team": "b"}, {}),
        (_OURS | {"TEAM": "b"}, {}),
        ({}, {}),
    ],
)
def test_a_shared_provider_keeps_its_tags(tags: dict[str, str], added: dict[str, str]) -> None:
    changes = _plan(replace(_SPEC, tags={"team": "a"}), _there(tags=tags))
    assert [change.after for change in changes] == ([added] if added else [])


def test_characters_of_an_issuer_that_a_tag_does_not_allow_are_replaced() -> None:
    assert own_tags(Issuer("https://issuer.test/~a%20b"))["aws-oidc-sidecar/issuer"] == "issuer.test/_a_20b"


def test_other_policies_of_a_role_stay_and_are_reported() -> None:
    there = _there()
    role = replace(there.roles["First"], policy_arns=("arn:aws:iam::aws:policy/R", "arn:x"), inline={"theirs": None})
    old = replace(there.providers[_ARN], thumbprints=(_OLD, _PRINT))
    seen = replace(there, roles={"First": role}, providers={_ARN: old})
    *lines, first, second = unchanged_extras(_SPEC, seen, {_ISSUER.url: (_PRINT,)}, PlanOptions())
    assert len(lines) == 1
    assert lines[0].startswith(f"provider issuer.test also has the thumbprint {_OLD}, which is not needed now")
    assert (first, second) == tuple(f"role First also has {what}, which is not changed" for what in ("arn:x", "theirs"))


def test_each_change_is_a_known_operation_with_its_permissions() -> None:
    assert {change.operation for change in _plan()} <= set(OPERATIONS)
    assert [row for name, row in OPERATIONS.items() if not row.actions[0].endswith(f":{name}")] == []


# --- removal ---


def test_a_removal_goes_in_reverse_order() -> None:
    changes, left = removal(_SPEC, _there())
    assert [(change.operation, change.target) for change in changes] == [
        ("DeleteRole", "role Second"),
        ("DetachRolePolicy", "role First"),
        ("DeleteRolePolicy", "role First"),
        ("DeleteRole", "role First"),
        ("DeleteOpenIDConnectProvider", "provider issuer.test"),
    ]
    assert left == ()
    assert removal(_SPEC, Observed(_ACCOUNT, trusting={})) == ((), ())


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (replace(_there(), trusting=None), "provider issuer.test stays: without iam:ListRoles this command cannot"),
        (replace(_there(), trusting={_ARN: ("First", "B", "A")}), "provider issuer.test stays: trusted by role A, B"),
        (
            _there(client_ids=("sts.amazonaws.com", "v")),
            "provider issuer.test stays: other client ids were added to it (v)",
        ),
        (_there(tags={}), "provider issuer.test stays: this command did not create it"),
        (_there(tags={**_OURS, "aws-oidc-sidecar/adopted": "true"}), "provider issuer.test stays: it was adopted"),
    ],
)
def test_a_provider_that_may_still_be_used_stays(observed: Observed, message: str) -> None:
    changes, left = removal(_SPEC, observed)
    assert "DeleteOpenIDConnectProvider" not in _operations(changes)
    assert [line.startswith(message) for line in left] == [True]
