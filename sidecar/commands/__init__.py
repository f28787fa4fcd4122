"""One file per command: its options and what it does. ``cli`` has the table of them."""
