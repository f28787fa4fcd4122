"""``python -m examples.local``: the demo."""

import sys

from examples.local.demo import main

sys.exit(main())
