"""Log lines and metrics of the daemon."""
