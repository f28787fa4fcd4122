"""Which connections have something to read: one epoll for all of a listener's, inside the event loop's own.

The loop's readers cost an object or two for each connection and half a microsecond for each event; this costs a table.
"""

import asyncio
import select
from collections.abc import Callable

__all__ = ("Poller",)


class Poller:
    """Calls who has something to read.

    Args:
        loop: the running one.
    """

    __slots__ = ("_calls", "_epoll", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._turn)

    def add(self, descriptor: int, call: Callable[[], None]) -> None:
        """Have ``call`` called whenever there is something to read, or the other side is gone.

        What it raises goes to the loop's exception handler.
        """
        self._calls[descriptor] = call
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Call it no more; before the descriptor is closed."""
        del self._calls[descriptor]
        self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Call nobody any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._calls.clear()

    def _turn(self) -> None:
        # All that are ready, in one turn: a listener that stops counts on that.
        for descriptor, _ in self._epoll.poll(0, len(self._calls) + 1):
            call = self._calls.get(descriptor)  # gone, where one before it in this turn closed it
            if call is not None:
                try:
                    call()
                except Exception as error:  # noqa: BLE001 - one connection's trouble must not cost the others
                    self._loop.call_exception_handler({"message": "a connection failed", "exception": error})
