"""OIDC providers, roles and trust policies of IAM. Shared by ``bootstrap`` and ``doctor``.

The daemon uses only ``names``.
"""
