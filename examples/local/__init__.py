"""An issuer, a kubelet and a strict AWS on this machine.

`World` composes them. Each part listens on 127.0.0.1, on a port that the kernel chose, and reads the time from a clock
argument, so that a test moves the clock by hours without waiting.

Layers, each importing only those before it: `clock pki loopback keys`; `issuer volume kubelet` on the cluster's side
and, on AWS's, `partitions errors faults`, `limits policies wire records iam_view`, `quotas moto_iam`, `idp verify
signature moto_backend`, `sts control`, `aws`; then `world`, then `fixtures`. The AWS side does not import the issuer:
for AWS an issuer is an https URL, the address that serves it, and the certificates that it sends.
"""

from examples.local.world import World

__all__ = ("World",)
