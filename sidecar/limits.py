"""Every constant of the daemon, with its unit and the reason for its value.

What an operator may change has its default here and its setting in ``config``; the rest is not for changing,
because a client somewhere depends on it.
"""

from typing import Final

# --- what STS takes (AWS STS API Reference, AssumeRoleWithWebIdentity) ---
DURATION_MIN_SECONDS: Final = 900
DURATION_MAX_SECONDS: Final = 43_200
DURATION_DEFAULT_SECONDS: Final = 3_600
# Below this, botocore, .NET and Java v1 ask again on every call: they want 15 minutes left.
DURATION_WARN_SECONDS: Final = 1_800
# A role that was assumed with another role's set lives one hour at most (IAM User Guide, "role chaining").
CHAINED_DURATION_MAX_SECONDS: Final = 3_600
POLICY_MAX_CHARS: Final = 2_048
POLICY_ARNS_MAX: Final = 10
TOKEN_MIN_CHARS: Final = 4
TOKEN_MAX_CHARS: Final = 20_000
SESSION_NAME_MAX_CHARS: Final = 64
ROLE_ARN_MIN_CHARS: Final = 20
ROLE_ARN_MAX_CHARS: Final = 2_048

# --- when to renew ---
# Clients ask again at 15 minutes left; five more give a failing STS time to recover unseen.
RENEW_FLOOR_SECONDS: Final = 1_200
# Renewal comes up to this share of the life earlier, never later: a fleet that started together spreads out.
RENEW_JITTER_SHARE: Final = 0.1
# Two timer exchanges are never closer than this, whatever the clock does or STS grants.
TIMER_FLOOR_SECONDS: Final = 60.0
# A rotation this soon after a success proves nothing new. It scales with the life (docs/design/0001).
ROTATION_QUIET_SECONDS: Final = 60.0
ROTATION_QUIET_SHARE: Final = 1 / 60
# A kubelet restart rotates every token of a node at once: spread the calls.
ROTATION_SPREAD_SECONDS: Final = 10.0
# Below about 15 s several clients loop or sign with keys that die in flight.
STOP_SERVING_SECONDS: Final = 30.0
# The wall clock can be stepped while we sleep on the monotonic one: look at both at least this often.
LOOK_SECONDS: Final = 15.0

# --- backoff ---
TRANSIENT_FIRST_SECONDS: Final = 1.0
TRANSIENT_CAP_SECONDS: Final = 60.0
# IAM takes seconds to tell STS of a new provider, role or policy.
PROPAGATION_STEPS_SECONDS: Final = (2.0, 4.0, 8.0, 15.0, 30.0)
PERMANENT_FIRST_SECONDS: Final = 60.0
PERMANENT_CAP_SECONDS: Final = 300.0

# --- the token file ---
# inotify is absent under gVisor, racy under Kata, and its instances run out: reading is the base.
POLL_SECONDS: Final = 5.0

# --- the exchange ---
# Importing boto3 takes 0.2 s of CPU; under a quota of 0.1 with the node busy that has been seen to take long.
WORKER_READY_SECONDS: Final = 60.0
STS_CONNECT_SECONDS: Final = 2.0
STS_ATTEMPT_SECONDS: Final = 10.0
# An exchange must not slow the endpoint down.
WORKER_NICE: Final = 10

# --- the endpoint ---
ENDPOINT_ADDRESS: Final = "127.0.0.1"
ENDPOINT_PORT: Final = 9841
ENDPOINT_PATH: Final = "/v1/credentials"
ENDPOINT_CONNECTIONS: Final = 512
ADMIN_PORT: Final = 9842
# A flood from the cluster must not starve credentials.
ADMIN_CONNECTIONS: Final = 16
METRICS_CACHE_SECONDS: Final = 1.0
LISTEN_BACKLOG: Final = 1_024
HEAD_MAX_BYTES: Final = 8_192
REQUEST_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 30.0
# C++, JS v2, Java and PHP give up at 1 s, and a CPU quota eats into that.
FIRST_SET_WAIT_SECONDS: Final = 0.4
# The CRT refuses answers over 10,000 bytes.
BODY_MAX_BYTES: Final = 9_000
AUTH_TOKEN_BYTES: Final = 32
# Reading the state takes a millisecond; a volume that hangs must not keep the endpoint from listening.
STATE_LOAD_SECONDS: Final = 0.5
# What could not be written to a volume is tried again after this.
FILE_RETRY_SECONDS: Final = 15.0
# SIGTERM ends the daemon within 2 s. Both listeners, two file threads and the log get this much, one after the other.
DRAIN_SECONDS: Final = 0.25
