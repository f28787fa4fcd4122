"""The thumbprints that IAM needs; the errors are tested in tests/functional, with a local issuer."""

from sidecar.bootstrap.issuers import IssuerProbe
from sidecar.issuer.certificates import Certificate, Chain


def test_only_a_chain_that_no_public_root_verifies_gives_a_thumbprint() -> None:
    leaf = Certificate(b"leaf", "CN=issuer.test", "CN=CA", 0.0, 4e9)
    authority = Certificate(b"authority", "CN=CA", "CN=CA", 0.0, 4e9)
    chains = {"issuer.test": Chain((leaf, authority), public=False), "keys.test": Chain((leaf,), public=True)}
    assert IssuerProbe("https://issuer.test", chains).thumbprints == (authority.thumbprint,)
