"""HTTPS requests of the commands: addresses, proxies and trusted CAs. The daemon does not use this package."""
