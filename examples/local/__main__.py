"""``python -m examples.local``: the demo."""

import contextlib
import signal
import sys

from examples.local.demo import main

# Both signals end the demo and all its processes. A background job of a script starts with SIGINT ignored.
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler)
with contextlib.suppress(KeyboardInterrupt):
    sys.exit(main())
sys.exit(128 + signal.SIGINT)
