"""The one-time setup by an administrator of what the sidecar needs outside its pod. Never used by the daemon."""
