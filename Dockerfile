# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
# zlib-ng, with which Pingora compresses, is C and built by cmake; jemalloc by make.
RUN apt-get update && apt-get install -y --no-install-recommends build-essential cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY crates crates
COPY src src
ARG GATEPOST_COMMIT=unknown
# The caches keep crates and their builds between images; what is needed is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    GATEPOST_COMMIT=$GATEPOST_COMMIT cargo build --locked --release --bin gatepost \
    && cp target/release/gatepost /usr/local/bin/gatepost

FROM debian:bookworm-slim
# The system's certificates verify an Odoo behind https://.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gatepost \
    # compose.yaml mounts the volume of Gatepost's keys and changes here; the volume gets this owner.
    && install -d -o gatepost -m 0700 /var/lib/gatepost
COPY --from=build /usr/local/bin/gatepost /usr/local/bin/gatepost
USER 10001
EXPOSE 8080 9090
ENV GATEPOST_CONFIG=/etc/gatepost/gatepost.toml
# Requests /livez from the admin listener of the configuration above.
HEALTHCHECK --interval=15s --timeout=3s --start-period=5s CMD ["gatepost", "healthcheck"]
# The program handles SIGTERM itself, and has no child processes.
ENTRYPOINT ["gatepost"]
CMD ["serve"]
