# Three stages: the playground, the server that embeds it, and the few files that run.

FROM node:22-bookworm-slim AS playground
WORKDIR /kith/playground
COPY playground/package.json playground/package-lock.json playground/.npmrc ./
COPY playground/examples/apollo/package.json examples/apollo/
COPY playground/examples/urql/package.json examples/urql/
RUN npm ci --no-fund --no-audit
COPY schema.graphql /kith/
COPY playground ./
RUN npm run build

FROM rust:1-bookworm AS build
WORKDIR /kith
COPY . .
COPY --from=playground /kith/playground/dist playground/dist
# The caches of BuildKit keep the compiled dependencies from one build to the next, whatever changed in our own code. They
# are no part of the image, so the binary is copied out of them in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/kith/target \
    cargo build --release --locked --package kith && cp target/release/kith /usr/local/bin/kith

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/kith --create-home kith
COPY --from=build /usr/local/bin/kith /usr/local/bin/kith
USER kith
# Where SQLite, the outbox and a development secret go when nothing else is said; mount a volume to keep them.
WORKDIR /var/lib/kith
ENV KITH_LISTEN=0.0.0.0:8000
EXPOSE 8000
# The binary asks itself, so that the image needs no curl. It asks for readiness: with the database away, that is "no".
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["kith", "health"]
# The exec form, so that SIGTERM reaches the server and it can drain.
ENTRYPOINT ["kith"]
CMD ["serve"]
