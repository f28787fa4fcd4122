"""An application that runs for a long time with one client: each line is one call, with the access key that signed it.

    python long_running.py /demo/demo/image-id

It ends when standard input is closed; an error ends it with a traceback.
"""

import select
import sys

import boto3

PAUSE_SECONDS = 0.2

session = boto3.Session()
ssm = session.client("ssm")
credentials = session.get_credentials()

while not select.select([sys.stdin], [], [], PAUSE_SECONDS)[0]:
    value = ssm.get_parameter(Name=sys.argv[1])["Parameter"]["Value"]
    signed_by = credentials.get_frozen_credentials().access_key if credentials else "no credentials"
    print(value, signed_by, flush=True)
