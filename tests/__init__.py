"""Tests of aws-oidc-sidecar and of its local world."""
