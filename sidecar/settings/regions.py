"""AWS regions: their form, their partitions, and the settings that contradict a region. Pure.

The daemon does not import botocore, whose data/partitions.json has the regions; a test compares the two.
"""

import re
from typing import Final

from sidecar.errors import InvalidValueError, SettingsError
from sidecar.model import Profile

__all__ = ("PARTITIONS", "check_region", "partition_of", "region")

_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")
# https://docs.aws.amazon.com/global-infrastructure/latest/regions/az-ids.html: us-east-1a; in a local or a Wavelength
# zone us-west-2-lax-1a and us-east-1-wl1-bos-wlz-1; as an id, which is the same in all accounts, use1-az1.
_ZONE: Final = re.compile(r"((?:[a-z]+-){2,3}[0-9]+)(?:[a-z]|-(?:[a-z0-9]+-)+[0-9]+[a-z]?)")
_ZONE_ID: Final = re.compile(r"[a-z]+[0-9]+(-[a-z0-9]+)*-az[0-9]+")

PARTITIONS: Final = {
    "aws": ("(af|ap|ca|eu|il|me|mx|sa|us)-[a-z]+-[0-9]+", "us-east-1"),
    "aws-cn": ("cn-[a-z]+-[0-9]+", "cn-north-1"),
    "aws-eusc": ("eusc-[a-z]+-[a-z]+-[0-9]+", "eusc-de-east-1"),
    "aws-iso": ("us-iso-[a-z]+-[0-9]+", "us-iso-east-1"),
    "aws-iso-b": ("us-isob-[a-z]+-[0-9]+", "us-isob-east-1"),
    "aws-iso-e": ("eu-isoe-[a-z]+-[0-9]+", "eu-isoe-west-1"),
    "aws-iso-f": ("us-isof-[a-z]+-[0-9]+", "us-isof-south-1"),
    "aws-us-gov": ("us-gov-[a-z]+-[0-9]+", "us-gov-west-1"),
}
"""{partition: (the form of its regions, one of them)}."""

_GLOBAL: Final = "aws-global"
"""The region by which SDKs name the global endpoint of STS."""


def region(text: str) -> str:
    """Return an AWS region, or an empty text; InvalidValueError for a text without the form of a region."""
    zone = _ZONE.fullmatch(text)
    if zone is not None:
        raise InvalidValueError("is an availability zone", f"the region is {zone[1]}")
    if _ZONE_ID.fullmatch(text):
        raise InvalidValueError("is the id of an availability zone", "use a region code such as eu-central-1")
    if text and not _REGION.fullmatch(text):
        raise InvalidValueError("not an AWS region", "use a region code such as eu-central-1")
    return text


def partition_of(text: str) -> str:
    """Return the partition of a region, such as "aws-cn"; "" if the region is empty or has another form."""
    by_form = (name for name, (form, _) in PARTITIONS.items() if re.fullmatch(form, text) or text == f"{name}-global")
    return next(by_form, "")


def check_region(profile: Profile, *, of_role: str, of_region: str, of_fips: str, of_dual_stack: str) -> None:
    """Check that STS of the region of a profile exists with these settings, and can have its role.

    Args:
        profile: all of its settings.
        of_role: where the role is set, for the message; the others are the same for three other settings.
        of_region: see `of_role`.
        of_fips: see `of_role`.
        of_dual_stack: see `of_role`.

    Raises:
        SettingsError: FIPS or dual-stack without a region, or a role of another partition than the region's.
    """
    if not profile.endpoint_url and profile.region in {"", _GLOBAL}:
        for name, wanted, where in (("FIPS", profile.fips, of_fips), ("dual-stack", profile.dual_stack, of_dual_stack)):
            if wanted:
                what = f"needs a region: the global endpoint of STS has no {name} host name"
                raise SettingsError(where, what, "set AWS_REGION, or the region of the profile")
    role_partition = profile.role_arn.split(":")[1] if profile.role_arn else ""
    partition = partition_of(profile.region) if profile.region or profile.endpoint_url else "aws"
    if not role_partition or not partition or partition == role_partition:
        return
    _, example = PARTITIONS.get(role_partition, ("", ""))
    change = f"set a region of the role's partition{f', such as {example}' if example else ''}"
    if not profile.region:
        raise SettingsError(of_role, "is not in aws, the partition of the global STS endpoint", change)
    what = f"are in two partitions: STS of this region has the roles of {partition}"
    raise SettingsError(f"{of_role} and {of_region}", what, f"{change}, or write the role as arn:{partition}:")
