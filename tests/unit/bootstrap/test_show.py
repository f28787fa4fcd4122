"""The output as text and as JSON, and the script of AWS CLI commands."""

import io
import json
import subprocess
import sys

import pytest

from sidecar.bootstrap.emit import script
from sidecar.bootstrap.show import ChangeStatus, JsonShow, TextShow, details, headline
from sidecar.bootstrap.state import Account, Change

_ADD = Change("AttachRolePolicy", "role R", {}, "policy", None, "arn:p", "what the role may do")
_TRUST = Change("UpdateAssumeRolePolicy", "role R", {}, "trust policy", {"a": 1, "b": 2}, {"a": 1, "b": 3})
_PRINTS = Change("UpdateOpenIDConnectProviderThumbprint", "provider p", {}, "thumbprints", [], ["x", "y"])
_DELETE = Change("DeleteRole", "role R", {}, before={"path": "/"})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_ADD, "+ role R: policy arn:p  [attach-role-policy]"),
        (_TRUST, "~ role R: trust policy  [update-assume-role-policy]"),
        (_PRINTS, "~ provider p: thumbprints none -> x, y  [update-open-id-connect-provider-thumbprint]"),
        (_DELETE, "- role R  [delete-role]"),
    ],
)
def test_a_headline_has_the_target_and_the_change(change: Change, line: str) -> None:
    assert headline(change) == line


def test_a_document_is_shown_as_its_difference() -> None:
    assert details(_TRUST) == ["  {", '    "a": 1,', '-   "b": 2', '+   "b": 3', "  }"]
    assert details(_ADD) == []
    assert details(_DELETE) == ["- {", '-   "path": "/"', "- }"]


def test_plain_text_has_no_escape_sequence_and_warnings_go_to_stderr() -> None:
    out, err = io.StringIO(), io.StringIO()
    show = TextShow(out, err, colour=False)
    show.account(Account("123456789012"))
    show.warning("leaf")
    with show.busy("thinking"):
        show.change(_ADD, ChangeStatus.DONE)
    show.change(_DELETE, ChangeStatus.NOT_DONE)
    show.end("done", 0)
    assert out.getvalue() == (
        "account 123456789012, partition aws\n"
        "+ role R: policy arn:p  [attach-role-policy]\n    # what the role may do\n"
        'not-done: - role R  [delete-role]\n    - {\n    -   "path": "/"\n    - }\n'
        "done\n"
    )
    assert err.getvalue() == "warning: leaf\n"


def test_without_the_package_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    out = io.StringIO()
    TextShow(out, io.StringIO(), colour=True).note("a [red]b[/red]")
    assert out.getvalue() == "a [red]b[/red]\n"


def test_with_rich_no_text_is_interpreted_as_markup() -> None:
    out = io.StringIO()
    TextShow(out, io.StringIO(), colour=True).note("a [red]b[/red] urn:key:a " + "c" * 200)
    assert out.getvalue() == "a [red]b[/red] urn:key:a " + "c" * 200 + "\n"


@pytest.mark.parametrize("colour", [False, True])
def test_control_characters_in_a_name_do_not_move_the_cursor(colour: bool) -> None:  # noqa: FBT001
    out = io.StringIO()
    TextShow(out, io.StringIO(), colour=colour).note("a\x1b[2Jb\nc\r")
    assert out.getvalue() == "a?[2Jb?c?\n"


def test_json_output_is_one_document() -> None:
    out = io.StringIO()
    show = JsonShow(out, "apply")
    show.account(Account("123456789012"))
    show.note("n")
    show.warning("w")
    show.removes(["role R: policy p"])
    show.change(_PRINTS, ChangeStatus.FAILED)
    assert out.getvalue() == ""
    show.end("stopped", 4)
    assert json.loads(out.getvalue()) == {
        "mode": "apply",
        "account": "123456789012",
        "partition": "aws",
        "removes": ["role R: policy p"],
        "changes": [
            {
                "kind": "update-open-id-connect-provider-thumbprint",
                "target": "provider p",
                "what": "thumbprints",
                "before": [],
                "after": ["x", "y"],
                "why": "",
                "status": "failed",
            }
        ],
        "notes": ["n"],
        "warnings": ["w"],
        "result": "stopped",
        "exit_code": 4,
    }


def test_in_a_script_each_value_is_one_shell_word() -> None:
    nasty = 'a\'b "c"\n $(d) `e` \\ ;'
    change = Change("PutRolePolicy", "role R", {"RoleName": "R", "PolicyName": "P", "PolicyDocument": nasty})
    text = "aws() { printf '%s\\0' \"$@\"; }\n" + script([change], "123456789012")
    done = subprocess.run(["sh"], input=text, capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout.split("\0")[:-1] == [
        "iam", "put-role-policy", "--role-name", "R", "--policy-name", "P", "--policy-document", nasty,
    ]  # fmt: skip


def test_a_list_is_json_so_that_the_cli_fetches_nothing() -> None:
    change = Change("CreateOpenIDConnectProvider", "p", {"Url": "https://i.test", "ClientIDList": ["https://k.test"]})
    assert "--client-id-list '[\"https://k.test\"]'" in script([change], "1")


def test_a_script_waits_for_each_role_that_it_created_before_a_policy_names_it() -> None:
    def created(name: str, path: str, *arns: str) -> Change:
        trust = json.dumps({"Statement": [{"Principal": {"AWS": arns}}]}, separators=(",", ":"))
        return Change("CreateRole", name, {"RoleName": name, "Path": path, "AssumeRolePolicyDocument": trust})

    of = "arn:aws:iam::{}:role/{}".format
    other, later = of(2, "p/First"), of(1, "Later")
    third = created("Third", "/", other, of(1, "Second"), of(1, "First"), of(1, "p/First"), later)
    lines = script([created("First", "/p/"), created("Second", "/"), third, created("Later", "/")], "1").splitlines()
    waits = [f"aws iam wait role-exists --role-name {name}" for name in ("Second", "First")]
    assert [line for line in lines if " wait " in line] == waits
    assert lines[lines.index(waits[1]) + 1 :][:2] == ["aws iam create-role \\", "  --role-name Third \\"]
