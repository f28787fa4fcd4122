"""A real one-node Kubernetes on this machine, for what only Kubernetes can decide. Needs root, Go and Debian."""
