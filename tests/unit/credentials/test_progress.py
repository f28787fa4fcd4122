from sidecar.credentials.progress import why_none
from tests.helpers.state_driver import StateDriver


def reason(driver: StateDriver) -> str:
    return why_none(driver.state, driver.clock.now())


def test_an_exchange_is_called_running_only_while_one_is() -> None:
    driver = StateDriver()
    assert "no exchange has started" in reason(driver)
    driver.token()
    assert "is running" in reason(driver)
    driver.succeed()
    driver.clock.step_wall(7_200)
    driver.tick()
    assert not driver.state.shown
    assert "clock of this node" in reason(driver)
    driver.clock.step_wall(-7_200)
    driver.clock.advance(3_570)
    assert "clock of this node" not in reason(driver)
    driver.tick()
    assert "is running" in reason(driver)


def test_the_last_failure_is_given_with_its_fix_until_the_next_success() -> None:
    driver = StateDriver()
    driver.token()
    driver.fail()
    failure = driver.state.failure
    assert failure
    assert reason(driver) == f"last exchange: {failure.outcome}; {failure.hint}"
