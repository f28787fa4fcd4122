"""What AWS sees of an OIDC issuer: its two documents and the certificates that it serves. Never used by the daemon."""
