import pytest

from sidecar.errors import (
    SettingsError,
    SidecarError,
    StartError,
    TokenError,
    TokenProblem,
)


@pytest.mark.parametrize("problem", list(TokenProblem))
def test_every_token_problem_has_a_fix(problem: TokenProblem) -> None:
    error = TokenError(problem)
    assert str(error).startswith(f"token {problem}; ")
    assert len(error.hint) > 20


def test_an_error_is_one_line_with_where_what_and_fix() -> None:
    assert str(SettingsError("AWS_ROLE_ARN", "is not set", "set it")) == "AWS_ROLE_ARN: is not set; set it"
    assert str(StartError("the port is taken", "use another")) == "the port is taken; use another"


def test_every_error_has_the_base_class() -> None:
    for error in (SettingsError("", "", ""), StartError("", ""), TokenError(TokenProblem.EMPTY)):
        assert isinstance(error, SidecarError)
