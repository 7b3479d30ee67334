# syntax=docker/dockerfile:1

FROM rust:1.95-slim-bookworm AS build
# Pingora compresses with zlib-ng, which is C and built by cmake.
RUN apt-get update && apt-get install -y --no-install-recommends build-essential cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
# The dependencies in a layer of their own: they change less often than our code.
RUN mkdir -p src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --locked --release --bin gatepost && rm -r src
COPY src src
ARG GATEPOST_COMMIT=unknown
RUN touch src/main.rs src/lib.rs && GATEPOST_COMMIT=$GATEPOST_COMMIT cargo build --locked --release --bin gatepost

FROM debian:bookworm-slim
# The certificates of the system, to verify an Odoo behind https://.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin gatepost \
    # Where compose.yaml mounts the volume of our own keys and of changes; it takes over this owner.
    && install -d -o gatepost -m 0700 /var/lib/gatepost
COPY --from=build /src/target/release/gatepost /usr/local/bin/gatepost
USER 10001
EXPOSE 8080 9090
ENV GATEPOST_CONFIG=/etc/gatepost/gatepost.toml
# Asks the admin listener of the configuration above.
HEALTHCHECK --interval=15s --timeout=3s --start-period=5s CMD ["gatepost", "healthcheck"]
# The program obeys SIGTERM itself, and has no children.
ENTRYPOINT ["gatepost"]
CMD ["serve"]
