"""HTTP/1.1 on a socket. This package does not import credentials, tokens or settings."""
