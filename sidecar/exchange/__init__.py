"""Token in, credentials out: one attempt, no retry, no state. The only part that talks to AWS."""
