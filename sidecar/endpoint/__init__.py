"""Serves credentials to the application. This package does not import tokens or STS."""
