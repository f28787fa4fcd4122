"""An application without code for the sidecar: plain boto3.

python read_parameter.py /demo/demo/image-id
"""

import sys

import boto3

print(boto3.client("sts").get_caller_identity()["Arn"])
print(boto3.client("ssm").get_parameter(Name=sys.argv[1])["Parameter"]["Value"])
