"""The limits and intervals of the daemon, with their units and the reasons for their values. Pure.

If an operator can change a value, its default is here and its setting in ``settings.options``. The other values have no
setting, because clients depend on them.
"""

from typing import Final

# --- what STS accepts (AWS STS API Reference, AssumeRoleWithWebIdentity) ---
DURATION_MIN_SECONDS: Final = 900
DURATION_MAX_SECONDS: Final = 43_200
DURATION_DEFAULT_SECONDS: Final = 3_600
# Below this, botocore, .NET and Java v1 request credentials on every call: they want 15 minutes left.
DURATION_WARN_SECONDS: Final = 1_800
# The session of a chained role lasts one hour at most (IAM User Guide, "role chaining").
CHAINED_DURATION_MAX_SECONDS: Final = 3_600
POLICY_MAX_CHARS: Final = 2_048
POLICY_ARNS_MAX: Final = 10
TOKEN_MIN_CHARS: Final = 4
TOKEN_MAX_CHARS: Final = 20_000
SESSION_NAME_MAX_CHARS: Final = 64
# Distinguishes two names that are equal after cutting or replacing.
SESSION_NAME_HASH_CHARS: Final = 10
ROLE_ARN_MAX_CHARS: Final = 2_048
# Path of a role or a policy, with the slashes at both ends (IAM API Reference, CreateRole and CreatePolicy).
IAM_PATH_MAX_CHARS: Final = 512
# IAM User Guide, "IAM and AWS STS quotas".
ROLE_NAME_MAX_CHARS: Final = 64
POLICY_NAME_MAX_CHARS: Final = 128

# --- the profiles file ---
# A ConfigMap holds at most 1 MiB (Kubernetes, "ConfigMaps").
PROFILES_MAX_BYTES: Final = 1_048_576
PROFILES_MAX: Final = 256

# --- when to refresh ---
# Clients refresh at 15 minutes left; five more minutes give STS time to recover before clients notice.
REFRESH_FLOOR_SECONDS: Final = 1_200
# A refresh comes up to this share of the lifetime earlier, never later, so that a fleet that started together spreads.
REFRESH_JITTER_SHARE: Final = 0.1
# Minimum time between two exchanges by the timer, whatever the clock does or STS grants.
TIMER_FLOOR_SECONDS: Final = 60.0
# A rotation this soon after a success shows nothing new. The time scales with the lifetime (docs/design/0001).
ROTATION_QUIET_SECONDS: Final = 60.0
ROTATION_QUIET_SHARE: Final = 1 / 60
# A kubelet restart rotates every token of a node at once: spread the calls.
ROTATION_SPREAD_SECONDS: Final = 10.0
# Below about 15 s several clients loop, or sign requests with keys that expire on the way.
STOP_SERVING_SECONDS: Final = 30.0
# The wall clock can be stepped while the daemon sleeps by the monotonic clock: both are read at least this often.
TICK_MAX_SECONDS: Final = 15.0

# --- backoff ---
TRANSIENT_FIRST_SECONDS: Final = 1.0
TRANSIENT_CAP_SECONDS: Final = 60.0
# Full jitter can draw nearly 0: this minimum keeps a fast failure from a busy loop.
TRANSIENT_MIN_SECONDS: Final = 0.2
# If AWS is back while the credentials can be served for t seconds more, the next attempt starts within a quarter of t,
# or when the one that is running has failed.
WAIT_SHARE_OF_TIME_LEFT: Final = 0.25
# The application has no credentials, and each second of this wait is an outage of it. Not for throttling: all pods of
# an account share its quota, and many that hold nothing would use it up for those that do (docs/scale.md).
NOTHING_HELD_CAP_SECONDS: Final = 8.0
# A new provider, role or policy in IAM takes seconds to reach STS.
PROPAGATION_STEPS_SECONDS: Final = (2.0, 4.0, 8.0, 15.0, 30.0)
PERMANENT_FIRST_SECONDS: Final = 60.0
PERMANENT_CAP_SECONDS: Final = 300.0
# A person repairs these, and a few seconds change little: however little time is left, it stays with few calls.
PERMANENT_MIN_SECONDS: Final = 15.0
# 2**6 times the first wait is past each cap; larger exponents would only overflow.
DOUBLINGS_MAX: Final = 6

# --- the token file ---
# inotify is missing under gVisor, racy under Kata, and its instances run out: the file is read in any case.
POLL_SECONDS: Final = 5.0
# More than a ConfigMap can hold.
CONTENT_MAX_BYTES: Final = 2_097_152

# --- the exchange ---
# Importing boto3 takes 0.2 s of CPU; under a quota of 0.1 on a busy node it was measured to take long.
WORKER_READY_SECONDS: Final = 60.0
STS_CONNECT_SECONDS: Final = 2.0
STS_ATTEMPT_SECONDS: Final = 10.0
# The daemon kills the child at these times. The child's own deadlines are later, for a daemon that is stopped.
WORKER_OWN_DEADLINE_FACTOR: Final = 2.0
# RLIMIT_DATA of the child; boto3 was measured to need 33 MB. botocore reads an answer of any size into memory, and at
# the container's memory limit the kernel would kill the daemon too. Both together stay below that limit.
WORKER_DATA_MAX_BYTES: Final = 67_108_864
# An exchange must not slow the endpoint down.
WORKER_NICE: Final = 10
# An answer holds one session token; STS states no limit, but clients take at most 10,000 bytes in all.
WORKER_LINE_MAX_BYTES: Final = 131_072
# Between a clock, that of this node or of a Date header, and the one from which STS counts the lifetime.
EXPIRATION_SLACK_SECONDS: Final = 300.0

# --- the endpoint ---
ENDPOINT_ADDRESS: Final = "127.0.0.1"
ENDPOINT_PORT: Final = 9841
ENDPOINT_PATH: Final = "/v1/credentials"
ENDPOINT_CONNECTIONS: Final = 512
ADMIN_PORT: Final = 9842
# A flood from the cluster must not starve credentials.
ADMIN_CONNECTIONS: Final = 16
# Descriptors that no connection uses. Measured: 13 at rest, 7 more while a child starts; the rest is for files that
# are written, /metrics, and a connection that is accepted before another one is closed.
DESCRIPTORS_HELD_BACK: Final = 40
METRICS_CACHE_SECONDS: Final = 1.0
LISTEN_BACKLOG: Final = 1_024
# While another process has the endpoint's port. It can end at any time, and applications wait for the endpoint.
PORT_RETRY_SECONDS: Final = 1.0
# Connections accepted in one turn of the loop: a thousand at once would delay the open connections.
ACCEPT_BATCH: Final = 64
# If no connection can be closed, the socket stays readable: pause accepting for this long.
ACCEPT_PAUSE_SECONDS: Final = 0.1
# If there are fewer descriptors than are held back: a few connections that take turns are better than none.
CONNECTIONS_LEAST: Final = 4
HEAD_MAX_BYTES: Final = 8_192
# Requests that are remembered by their bytes. A pod has a few clients, and each sends the same request each time.
HEADS_MAX: Final = 16
# Answers of one connection that may wait for an earlier one, and requests of it that are served in a row: a peer that
# sends thousands at once must not delay the others.
PIPELINE_MAX: Final = 16
# A request is about 300 bytes; what a peer sends beyond this waits in the kernel.
READ_BYTES: Final = 16_384
# Above this many unsent bytes, two answers of the largest size, a connection pauses; below a quarter it continues.
UNSENT_HIGH_BYTES: Final = 20_000
UNSENT_LOW_BYTES: Final = 5_000
REQUEST_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 30.0
# C++, JS v2, Java and PHP give up at 1 s, and a CPU quota takes a part of that.
FIRST_CREDENTIALS_WAIT_SECONDS: Final = 0.4
# Retry-After of a 503; JS v2 and object stores honour it.
RETRY_AFTER_SECONDS: Final = 1
# The CRT rejects answers over 10,000 bytes.
BODY_MAX_BYTES: Final = 9_000
# The parts of the endpoint's body without keys and session token: names, expiration, account, role.
BODY_REST_BYTES: Final = 1_000
# Go reads the output of a credential process into a buffer of 8 KiB (aws-sdk-go processcreds).
PROCESS_MAX_BYTES: Final = 8_191
AUTH_TOKEN_BYTES: Final = 32
# More than the longest auth token that a Secret may contain, and its white space.
AUTH_TOKEN_GIVEN_MAX_BYTES: Final = 1_024
STATE_MAX_BYTES: Final = 65_536
# Reading the state takes a millisecond; a volume that hangs must not keep the endpoint from listening.
STATE_LOAD_SECONDS: Final = 0.5
# After a failed write to a volume, the next attempt comes after this time.
FILE_RETRY_SECONDS: Final = 15.0
# SIGTERM ends the daemon within 2 s. Both listeners, two file threads and the log get this time, one after the other.
DRAIN_SECONDS: Final = 0.25

# --- log and metrics ---
# A few hundred kilobytes: hours of normal operation, and a limit on memory while the reader of the pipe has stalled.
LOG_LINES_MAX: Final = 1_000
# Any process of the pod can cause some events, in a loop: each cause gets one line in this time, with their number.
REPEATED_LOG_SECONDS: Final = 300.0
# One exchange is a process start and an HTTPS call; the process is killed after 10 s, and after 60 s during its start.
EXCHANGE_BUCKETS_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
# A refresh is due 20 minutes before expiration, 5 minutes before the first client refreshes.
LATENESS_BUCKETS_SECONDS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 600.0, 1_200.0)
# At 15 minutes left clients begin to request credentials on every call; at 20 the daemon refreshes.
SERVED_LIFE_BUCKETS_SECONDS: Final = (60.0, 300.0, 600.0, 900.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 43_200.0)
