"""Runs in a test pod before the AWS CLI: waits for credentials; if there are none, the doctor writes a report.

Arguments: seconds to wait, the file of the report, the served profiles with commas, and more flags of the doctor.
Always exits with 0: the next container must start, because it passes or fails the test and prints the report.
"""
# ruff: noqa: INP001, PTH123, S603 - the text of a container's command, which runs two commands of the container's image

import subprocess
import sys
import time

COMMAND = "aws-oidc-sidecar"
CHECKS_PER_SECOND = 2


def main(seconds: str, report: str, profiles: str, *flags: str) -> None:
    """Wait, and write the report if there are no credentials."""
    printed = ""
    for _ in range(int(seconds) * CHECKS_PER_SECOND):
        check = subprocess.run([COMMAND, "check"], stdout=subprocess.PIPE, text=True, check=False)
        if check.stdout != printed:
            printed = check.stdout
            sys.stdout.write(printed)
            sys.stdout.flush()
        if check.returncode == 0:
            return
        time.sleep(1 / CHECKS_PER_SECOND)
    with open(report, "w", encoding="utf-8") as file:
        for profile in profiles.split(","):
            file.write(f"aws-oidc-sidecar doctor --profile {profile}\n")
            file.flush()
            doctor = [COMMAND, "doctor", "--profile", profile, *flags]
            subprocess.run(doctor, stdout=file, stderr=subprocess.STDOUT, check=False)


main(*sys.argv[1:])
