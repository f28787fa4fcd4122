"""Sets up, once and by an administrator, what the sidecar needs outside its pod. Never used by the daemon."""
