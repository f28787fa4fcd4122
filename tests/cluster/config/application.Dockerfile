# An application that knows nothing of us: Debian with its AWS CLI and boto3, as anyone would build it.
FROM scratch
ARG BASE
ADD ${BASE} /
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends awscli python3-boto3 \
    && rm -rf /var/lib/apt/lists/*
