"""The cluster's half of the set-up, from inside: looks at it, and opens discovery. Never used by the daemon."""

__all__ = ()
