# The image; docs/image.md is the page about it. `docker build .` works as it stands; `make image` is the same with
# the version's labels, fixed times and the sizes printed.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS build
# The upgrade: what the last stage gets must not be older than Debian's last security fix because the base is.
RUN apt-get update \
    && apt-get upgrade -y \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libpython3-stdlib python3-minimal python3-pip
COPY requirements/runtime.txt /src/requirements/
# Where PyPI is behind a mirror or another authority, `make image` hands over that machine's settings; they stay out
# of every layer, and without them nothing is mounted.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    python3 -m pip install --require-hashes --no-deps --only-binary :all: --no-compile --no-cache-dir \
        --target /usr/local/lib/python3.13/dist-packages -r /src/requirements/runtime.txt
COPY LICENSE /src/
COPY image /src/image
COPY sidecar /src/sidecar
RUN cd /src && python3 -B -m image.assemble /out

FROM scratch
COPY --from=build /out/system/ /
COPY --from=build /out/packages/ /
COPY --from=build /out/program/ /
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="aws-oidc-sidecar" \
      org.opencontainers.image.description="AWS credentials for any Kubernetes pod from its own ServiceAccount token" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENV PATH=/usr/bin
USER 9841:9841
ENTRYPOINT ["/usr/bin/aws-oidc-sidecar"]
CMD ["run"]
