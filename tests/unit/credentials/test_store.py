from typing import TYPE_CHECKING

import pytest

from sidecar.credentials.store import Store
from sidecar.credentials.timing import hold
from tests.helpers.values import assume_role_result, profile

if TYPE_CHECKING:
    from sidecar.model import Held


def test_a_new_profile_has_no_credentials() -> None:
    assert Store(["a"]).get("a") is None


def test_credentials_are_replaced_whole_and_listeners_are_called() -> None:
    store = Store(["a", "b"])
    calls: list[tuple[str, Held | None]] = []
    store.subscribe(lambda name, held: calls.append((name, held)))
    one = hold(assume_role_result(1))
    store.publish("a", one)
    store.publish("a", None)
    assert calls == [("a", one), ("a", None)]
    assert store.get("a") is None


def test_an_unknown_profile_raises() -> None:
    with pytest.raises(KeyError):
        Store(["a"]).publish("b", None)


def test_a_removed_profile_is_withdrawn_and_one_that_stays_keeps_its_credentials() -> None:
    store = Store(["a", "b"])
    store.publish("a", hold(assume_role_result(1)))
    store.publish("b", hold(assume_role_result(2)))
    calls: list[tuple[str, Held | None]] = []
    store.subscribe(lambda name, held: calls.append((name, held)))
    store.set_profiles([profile("b"), profile("c")])
    assert calls == [("a", None)]
    assert store.profiles == ("b", "c")
    assert store.get("b") is not None
