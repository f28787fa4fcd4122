import subprocess
import sys

import pytest

from sidecar import __version__
from sidecar.cli import main
from sidecar.settings.options import OPTIONS
from tests.helpers.values import ROLE_ARN


def test_check_config_prints_every_setting_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--check-config", "--region", "eu-central-1"], {"AWS_ROLE_ARN": ROLE_ARN}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [option.name for option in OPTIONS]
    assert lines[0].endswith(f"{ROLE_ARN}  [AWS_ROLE_ARN]")
    assert any(line.endswith("eu-central-1  [--region]") for line in lines)


def test_check_config_prints_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--check-config"], {"AWS_ROLE_ARN": ROLE_ARN})
    assert capsys.readouterr().out.splitlines()[-1].startswith("warning: AWS_REGION")


@pytest.mark.rule("Kubernetes D8")
def test_an_invalid_setting_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"], {"AWS_ROLE_ARN": "nonsense"}) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "aws-oidc-sidecar: AWS_ROLE_ARN: not an IAM role ARN; write arn:aws:iam::<12 digits>:role/<name>\n"
    )


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--no-such-flag"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments, {}) == 2
    assert "usage: aws-oidc-sidecar" in capsys.readouterr().err


def test_help_shows_every_setting_with_its_variables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"], {}) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for option in OPTIONS:
        assert f"--{option.name}" in shown
        for variable in (option.variable, *option.others):
            assert variable in shown


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"], {}) == 0
    assert capsys.readouterr().out == f"aws-oidc-sidecar {__version__}\n"


def test_an_invalid_setting_does_not_import_the_daemon() -> None:
    code = (
        "import sys\nfrom sidecar import cli\ncli.main(['run'], {})\n"
        "assert not {'asyncio', 'structlog', 'prometheus_client', 'watchdog', 'boto3'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
