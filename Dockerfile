# syntax=docker/dockerfile:1
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
# An image build has no .git to ask.
ARG GIT_COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package pod-identity-demo \
    && cp target/release/pod-identity-demo /pod-identity-demo

# The C library and CA certificates; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /pod-identity-demo /usr/local/bin/pod-identity-demo
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/pod-identity-demo"]
