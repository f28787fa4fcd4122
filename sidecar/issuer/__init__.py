"""The public side of an OIDC issuer: its two documents and its certificates. Never used by the daemon."""
