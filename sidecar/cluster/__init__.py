"""The setup in the cluster, from inside a pod: verifies it, and opens discovery to AWS. Never used by the daemon."""
