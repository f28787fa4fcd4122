"""In a test pod, before the AWS CLI: waits for credentials, and where none come, has the doctor write down why.

Arguments: seconds to wait, the report's file, the served profiles with commas, and more flags of the doctor. Always
exits with 0: the container behind this has to start, since it is the one that is green or red and says why.
"""
# ruff: noqa: INP001, PTH123, S603 - the text of a container's command, which starts two commands of its own image

import subprocess
import sys
import time

COMMAND = "aws-oidc-sidecar"
ASKS_PER_SECOND = 2


def main(seconds: str, report: str, profiles: str, *flags: str) -> None:
    """Wait, and write the report where it is needed."""
    told = ""
    for _ in range(int(seconds) * ASKS_PER_SECOND):
        check = subprocess.run([COMMAND, "check"], stdout=subprocess.PIPE, text=True, check=False)
        if check.stdout != told:
            told = check.stdout
            sys.stdout.write(told)
            sys.stdout.flush()
        if check.returncode == 0:
            return
        time.sleep(1 / ASKS_PER_SECOND)
    with open(report, "w", encoding="utf-8") as file:
        for profile in profiles.split(","):
            file.write(f"aws-oidc-sidecar doctor --profile {profile}\n")
            file.flush()
            doctor = [COMMAND, "doctor", "--profile", profile, *flags]
            subprocess.run(doctor, stdout=file, stderr=subprocess.STDOUT, check=False)


main(*sys.argv[1:])
