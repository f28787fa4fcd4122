"""Hands credentials to the application. Never reaches tokens or STS."""
