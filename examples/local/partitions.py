"""The partitions of AWS: their regions, their host names, and the account that an ARN belongs to.

A partition has its own accounts, roles and endpoints, and does not know those of another one:
https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
The names and host names are those of the AWS SDKs, such as data/partitions.json of botocore.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

DEFAULT_PARTITION = "aws"


class Partition(NamedTuple):
    """What a partition's regions begin with, how its host names end, and its region of global services such as IAM."""

    region_prefix: str
    suffix: str
    region: str


PARTITIONS: Mapping[str, Partition] = MappingProxyType(
    {
        "aws-cn": Partition("cn-", "amazonaws.com.cn", "cn-north-1"),
        "aws-us-gov": Partition("us-gov-", "amazonaws.com", "us-gov-west-1"),
        "aws-iso": Partition("us-iso-", "c2s.ic.gov", "us-iso-east-1"),
        "aws-iso-b": Partition("us-isob-", "sc2s.sgov.gov", "us-isob-east-1"),
        "aws-iso-e": Partition("eu-isoe-", "cloud.adc-e.uk", "eu-isoe-west-1"),
        "aws-iso-f": Partition("us-isof-", "csp.hci.ic.gov", "us-isof-south-1"),
        "aws-eusc": Partition("eusc-", "amazonaws.eu", "eusc-de-east-1"),
        # Last: its regions have no prefix of their own, and it shares its host names with aws-us-gov.
        DEFAULT_PARTITION: Partition("", "amazonaws.com", "us-east-1"),
    }
)


@dataclass(frozen=True, slots=True)
class Account:
    """An account: its id, and its partition. The same id can exist in two partitions."""

    id: str
    partition: str = DEFAULT_PARTITION

    @property
    def iam(self) -> str:
        """What the ARNs of its IAM resources begin with, up to the colon before the resource."""
        return f"arn:{self.partition}:iam::{self.id}"

    @property
    def sts(self) -> str:
        """The same for STS."""
        return f"arn:{self.partition}:sts::{self.id}"

    @property
    def region(self) -> str:
        """The region of its IAM."""
        return PARTITIONS[self.partition].region


def account_of(arn: str) -> Account:
    """Return the account of a valid ARN."""
    _, partition, _, _, account, _ = arn.split(":", 5)
    return Account(account, partition)


def partition_of_region(region: str) -> str:
    """Return the partition of a region."""
    return next(name for name, partition in PARTITIONS.items() if region.startswith(partition.region_prefix))


def partition_of_host(host: str) -> str | None:
    """Return the partition of a host name of AWS, such as sts.cn-north-1.amazonaws.com.cn; None for another name."""
    for name, (prefix, suffix, _) in PARTITIONS.items():
        labels = host.removesuffix(f".{suffix}").split(".")
        # iam.us-gov.amazonaws.com has no region.
        shared = suffix == PARTITIONS[DEFAULT_PARTITION].suffix and prefix
        if host.endswith(f".{suffix}") and (not shared or any(f"{one}-".startswith(prefix) for one in labels)):
            return name
    return None
