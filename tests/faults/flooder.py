"""A peer that means harm: floods a port from a process of its own until its standard input is closed.

Arguments: the port, the path, and what to do: ``requests`` on kept connections, ``connections`` that are opened and
dropped, or ``half`` requests that never end, on as many connections as the port takes. At its end it prints how often
it did so.
"""

import contextlib
import socket
import sys
import threading

_THREADS = 4
_HALVES = 128
_done: list[int] = []


def main(port: int, path: str, what: str) -> None:
    for _ in range(_THREADS):
        threading.Thread(target=_flood, args=(port, path, what), daemon=True).start()
    sys.stdin.read()
    sys.stdout.write(str(sum(_done)))


def _flood(port: int, path: str, what: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    held: list[socket.socket] = []
    while True:
        with contextlib.suppress(OSError):
            sock = socket.create_connection(("127.0.0.1", port), timeout=5)
            _done.append(1)
            if what == "half":
                sock.sendall(request[:20])
                held.append(sock)
                if len(held) > _HALVES:
                    held.pop(0).close()
                continue
            with sock:
                while what == "requests":
                    sock.sendall(request)
                    if not sock.recv(65_536):
                        break
                    _done.append(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
