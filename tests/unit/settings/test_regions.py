"""Regions: what is none, the partition of each, and the settings that contradict a region."""

import json
from pathlib import Path

import botocore
import pytest

from sidecar.errors import InvalidValueError, SettingsError
from sidecar.settings.regions import PARTITIONS, partition_of, region
from sidecar.settings.resolve import resolve

ROLE = "arn:{}:iam::123456789012:role/Reader"
OF_BOTOCORE = {
    partition["id"]: list(partition["regions"])
    for partition in json.loads((Path(botocore.__file__).parent / "data/partitions.json").read_text())["partitions"]
}


def refusal(role: str, profiles: str = "", **environment: str) -> str:
    """Return the error of settings with a role of this partition; "" for none."""
    of_role = {"AWS_OIDC_SIDECAR_PROFILES_FILE": "/profiles"} if profiles else {"AWS_ROLE_ARN": ROLE.format(role)}
    try:
        resolve({}, of_role | environment, lambda _: profiles)
    except SettingsError as error:
        return str(error)
    return ""


def test_each_region_of_botocore_is_a_region_of_its_partition() -> None:
    assert set(PARTITIONS) == set(OF_BOTOCORE)
    for partition, regions in OF_BOTOCORE.items():
        assert {partition_of(region(name)) for name in regions} == {partition}
        assert PARTITIONS[partition][1] in regions
    assert [partition_of(name) for name in ("", "xx-new-1", "us-new-east-1", "us-east-1-fips")] == [""] * 4


@pytest.mark.parametrize(
    ("zone", "of"),
    [
        ("eu-west-1a", "eu-west-1"),
        ("us-gov-west-1b", "us-gov-west-1"),
        ("us-west-2-lax-1a", "us-west-2"),
        ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
        *((f"{name}a", name) for names in OF_BOTOCORE.values() for name in names if not name.endswith("-global")),
    ],
)
def test_an_availability_zone_is_refused_with_its_region(zone: str, of: str) -> None:
    message = f"AWS_REGION: is an availability zone; the region is {of}"
    assert refusal("aws", AWS_REGION=zone) == message
    in_file = f"[default]\nrole_arn = {ROLE.format('aws')}\nregion = {zone}\n"
    assert refusal("aws", in_file).endswith(f"is an availability zone; the region is {of}")


def test_the_id_of_a_zone_has_no_region_in_it() -> None:
    with pytest.raises(InvalidValueError, match="is the id of an availability zone"):
        region("euw1-az1")


@pytest.mark.parametrize("where", ["AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT",
                                   "AWS_OIDC_SIDECAR_DUAL_STACK", "AWS_OIDC_SIDECAR_FIPS"])  # fmt: skip
def test_dual_stack_and_fips_need_a_region(where: str) -> None:
    kind = "FIPS" if "FIPS" in where else "dual-stack"
    message = f"{where}: needs a region: the global endpoint of STS has no {kind} host name"
    assert refusal("aws", **{where: "true"}).startswith(message)
    assert refusal("aws", **{where: "true"}, AWS_REGION="aws-global").startswith(message)
    assert refusal("aws", **{where: "true"}, AWS_REGION="eu-central-1") == ""
    assert refusal("aws", **{where: "false"}) == ""


def test_a_profile_with_dual_stack_needs_a_region_too() -> None:
    profile = f"[profile reader]\nrole_arn = {ROLE.format('aws')}\nuse_dualstack_endpoint = true\n"
    assert refusal("aws", profile).startswith("/profiles: [reader] use_dualstack_endpoint: needs a region")
    assert refusal("aws", profile, AWS_REGION="eu-central-1") == ""
    assert refusal("aws", profile + "region = eu-central-1\n") == ""


@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_role_fits_the_regions_of_its_partition_alone(partition: str) -> None:
    for other, (_, example) in PARTITIONS.items():
        error = refusal(partition, AWS_REGION=example)
        assert (error == "") is (other == partition)
        if error:
            assert error.startswith("AWS_ROLE_ARN and AWS_REGION: are in two partitions")
            assert error.endswith(f"such as {PARTITIONS[partition][1]}, or write the role as arn:{other}:")
    without = refusal(partition)
    assert without == "" if partition == "aws" else without.startswith("AWS_ROLE_ARN: is not in aws, the partition of ")


def test_a_region_that_is_not_known_and_another_endpoint_fit_each_role() -> None:
    assert refusal("aws-new", AWS_REGION="xx-new-1") == ""
    assert refusal("aws-cn", AWS_ENDPOINT_URL_STS="https://sts.test") == ""


def test_each_profile_is_compared_with_its_own_region() -> None:
    profile = f"[profile cn]\nrole_arn = {ROLE.format('aws-cn')}\n"
    assert refusal("", profile, AWS_REGION="eu-central-1").startswith("/profiles: [cn] role_arn and AWS_REGION: are in")
    assert refusal("", profile + "region = cn-north-1\n", AWS_REGION="eu-central-1") == ""
