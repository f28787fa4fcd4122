# The container image; docs/image.md describes it. `docker build .` works without options; `make image` also sets the labels
# of the version and fixed times, and prints the sizes.
ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS build
# The upgrade: the base image can be older than Debian's last security fix, and files of the last stage must not be.
RUN apt-get update \
    && apt-get upgrade -y \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libpython3-stdlib python3-minimal python3-pip
COPY requirements/runtime.txt /src/requirements/
# If this machine reaches PyPI through a mirror or with another CA, `make image` passes its settings as secrets. No layer
# has them; without such settings nothing is mounted.
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
USER 19841:19841
ENTRYPOINT ["/usr/bin/aws-oidc-sidecar"]
CMD ["run"]
