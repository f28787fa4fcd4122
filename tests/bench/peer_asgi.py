"""A minimal server to compare with the endpoint: uvicorn with httptools and one credential.

Reads two lines, the token and the body, and prints the port. Ends with its standard input.
"""

import hmac
import importlib
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

# In requirements/bench.txt, which only this needs.
uvicorn: Any = importlib.import_module("uvicorn")
Message = dict[str, Any]


def main() -> None:
    token, body = (sys.stdin.readline().rstrip("\n").encode() for _ in range(2))
    # Without IPPROTO_TCP asyncio does not detect TCP and does not disable Nagle's algorithm: 40 ms for each response.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1_024)
    host = f"127.0.0.1:{sock.getsockname()[1]}".encode()
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    start = {"type": "http.response.start", "status": 200, "headers": fields}
    forbidden = {"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]}

    async def application(
        scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        headers = dict(scope["headers"])
        good = hmac.compare_digest(headers.get(b"authorization", b""), token) and headers.get(b"host") == host
        await send(start if good else forbidden)
        await send({"type": "http.response.body", "body": body if good else b""})

    config = uvicorn.Config(
        application,
        http="httptools",
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
    server = uvicorn.Server(config)

    def end_with_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_input, daemon=True).start()
    sys.stdout.write(f"{sock.getsockname()[1]}\n")
    sys.stdout.flush()
    server.run([sock])


if __name__ == "__main__":
    main()
