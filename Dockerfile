# The image: the program and CA certificates, nothing else. scripts/steps/image.sh
# builds it, natively for the platform it runs on (linux/amd64 or linux/arm64):
# a build of this size takes minutes natively, and half an hour under emulation.

# What the SBOM says of a static program: the crates in Cargo.lock.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

# Its index has both platforms. Tag and digest are kept current by dependabot.
FROM rust:1.95.0-slim-bookworm@sha256:b8ecdb97c5b9c1ae058249f72710dbe33d4da19f7b8d911bd3c72e5f048af251 AS build
WORKDIR /src

# cargo wants to find all that the manifests name. The sandbox and the benchmark
# are no part of the program: changing them must not build it again.
COPY Cargo.toml Cargo.lock build.rs ./
COPY tests/sandbox/Cargo.toml tests/sandbox/
RUN mkdir -p benches tests/sandbox/src && touch benches/job.rs tests/sandbox/src/lib.rs
COPY src src

# An image build has no .git to ask.
ARG GIT_COMMIT
# glibc, linked in: since 2.34 it resolves names (/etc/hosts and DNS) with what
# is in libc.a. --target keeps the flag from what runs during the build, and the
# platforms apart in the cache, which holds the dependencies from build to build.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    target="$(rustc --print host-tuple)" \
    && RUSTFLAGS='-C target-feature=+crt-static' \
       cargo build --locked --release --package pod-identity-demo --target "$target" \
    && install -D "target/$target/release/pod-identity-demo" /image/usr/local/bin/pod-identity-demo \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /image /
# So that `kubectl exec … -- pod-identity-demo identity` needs no path.
ENV PATH=/usr/local/bin
# By number: runAsNonRoot cannot judge a name, and there is no /etc/passwd.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/pod-identity-demo"]

ARG VERSION
ARG GIT_COMMIT
ARG CREATED
ARG SOURCE
LABEL org.opencontainers.image.title="pod-identity-demo" \
      org.opencontainers.image.description="The reference workload for AWS workload identity on Kubernetes: random images, streamed to S3" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$GIT_COMMIT" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.source="$SOURCE"
