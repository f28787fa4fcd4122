from sidecar.telemetry.repeats import Repeats


def test_the_first_event_of_each_cause_is_logged_and_then_one_in_each_interval() -> None:
    repeats = Repeats(60.0)
    assert [repeats.count("a", now) for now in (0.0, 1.0, 59.9, 60.0, 61.0, 120.0)] == [1, 0, 0, 3, 0, 2]
    assert repeats.count("b", 61.0) == 1


def test_after_a_quiet_time_an_event_counts_those_that_were_not_logged() -> None:
    repeats = Repeats(60.0)
    assert [repeats.count("a", now) for now in (0.0, 1.0, 600.0)] == [1, 0, 2]
