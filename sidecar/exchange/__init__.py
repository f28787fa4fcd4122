"""Exchanges a token for credentials: one attempt, no retry, no state. The part of the daemon that calls AWS."""
