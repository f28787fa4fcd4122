"""An issuer, a kubelet and a strict AWS on this machine.

`World` composes them. Every part listens on 127.0.0.1 alone, on a port that the kernel chose, and takes its
time from a clock that is passed in, so that hours pass in a test without a wait.

Layers, each importing only those before it: `clock pki loopback keys`; `issuer volume kubelet` on the cluster's side
and, on AWS's, `refusals limits policies faults`, `wire records iam_view`, `idp verify signature moto_backend`, `sts
control`, `aws`; then `world`, then `fixtures`. Nothing on the AWS side knows the issuer object:
to AWS an issuer is an https URL, the address that answers for it, and the certificates it serves.
"""

from examples.local.world import World

__all__ = ("World",)
