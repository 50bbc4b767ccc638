# The image contains the program and CA certificates, and nothing else.
# scripts/steps/image.sh builds it natively for the platform that it runs on
# (linux/amd64 or linux/arm64): a native build takes minutes, an emulated one
# half an hour.

# A static binary has no packages to list, so the SBOM lists the crates in
# Cargo.lock.
ARG BUILDKIT_SBOM_SCAN_CONTEXT=true

# The image index covers both platforms. Dependabot updates the tag and the
# digest.
FROM rust:1.95.0-slim-bookworm@sha256:b8ecdb97c5b9c1ae058249f72710dbe33d4da19f7b8d911bd3c72e5f048af251 AS build
WORKDIR /src

# Cargo requires every target that the manifests name. The sandbox and the
# benchmark are not part of the program, so empty files take their place and
# changes to them do not trigger a rebuild.
COPY Cargo.toml Cargo.lock build.rs ./
COPY crates/sandbox/Cargo.toml crates/sandbox/
RUN mkdir -p benches/job tests/faults crates/sandbox/src && touch benches/job/main.rs tests/faults/main.rs crates/sandbox/src/lib.rs
COPY src src

# The build context has no .git directory, so the commit is an argument.
ARG GIT_COMMIT
# glibc is linked statically: since 2.34, libc.a resolves names (/etc/hosts and
# DNS) without shared libraries. --target keeps the flag away from build
# scripts, and separates the platforms in the cache, which keeps the compiled
# dependencies between builds.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    target="$(rustc --print host-tuple)" \
    && RUSTFLAGS='-C target-feature=+crt-static' \
       cargo build --locked --release --package pod-identity-demo --target "$target" \
    && install -D "target/$target/release/pod-identity-demo" /image/usr/local/bin/pod-identity-demo \
    && install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /image /
# Lets `kubectl exec … -- pod-identity-demo identity` find the program without a
# path.
ENV PATH=/usr/local/bin
# A numeric ID, because runAsNonRoot cannot verify a name and the image has no
# /etc/passwd.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/pod-identity-demo"]

ARG VERSION
ARG GIT_COMMIT
ARG CREATED
ARG SOURCE
LABEL org.opencontainers.image.title="pod-identity-demo" \
      org.opencontainers.image.description="Shows EKS Pod Identity at work: random images, streamed to S3 with the AWS default credential chain" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$GIT_COMMIT" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.source="$SOURCE"
