# SPDX-License-Identifier: MIT
#
# The image of fleetbit: docker build -t fleetbit .
#
#     docker run -p 8080:8080 -v fleet:/var/lib/fleetbit --read-only fleetbit          # a private Redis
#     docker run -p 8080:8080 --read-only fleetbit serve --redis redis://10.0.0.5      # somebody else's
#
# It runs as user 10001, without any capability, on a read-only root; it writes in
# /var/lib/fleetbit alone, and with --redis nowhere.

# ---- What builds it ----

FROM debian:bookworm-slim AS build
WORKDIR /src
# The packages first: they are not installed anew when only the sources change.
COPY dev ./
RUN ./dev install build
COPY . ./
RUN ./dev build release && strip --strip-all -o /fleetbit build/release/fleetbit

# ---- What runs it: the libraries, and a Redis ----

FROM debian:bookworm-slim AS runtime
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends \
        libcurl4 libexpat1 libh2o-evloop0.13 libhiredis0.14 libjansson4 libjemalloc2 libssl3 \
        libxxhash0 libyaml-0-2 redis-server tzdata zlib1g >/dev/null \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/log/* /var/lib/redis /etc/redis \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/fleetbit \
        --shell /usr/sbin/nologin fleetbit \
    && install -d -o fleetbit -g fleetbit -m 750 /var/lib/fleetbit
COPY conf/redis.conf /etc/fleetbit/redis.conf
USER 10001:10001
WORKDIR /var/lib/fleetbit
VOLUME /var/lib/fleetbit
STOPSIGNAL SIGTERM

# ---- That Redis alone, for several instances (compose.yaml). A new fleetbit does not change it. ----

FROM runtime AS redis
LABEL org.opencontainers.image.title="fleetbit-redis" \
      org.opencontainers.image.description="Redis with the settings that fleetbit asks for"
EXPOSE 6379
HEALTHCHECK --interval=2s --timeout=3s --start-period=60s \
    CMD ["sh", "-c", "redis-cli ping | grep -qx PONG"]
# protected-mode is for a Redis that anybody can reach: publish this port nowhere.
ENTRYPOINT ["redis-server", "/etc/fleetbit/redis.conf", "--dir", "/var/lib/fleetbit", \
            "--bind", "0.0.0.0", "--port", "6379", "--protected-mode", "no"]

# ---- fleetbit ----

FROM runtime
LABEL org.opencontainers.image.title="fleetbit" \
      org.opencontainers.image.description="An in-memory read server for the data of a fleet" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
COPY --from=build /fleetbit /usr/bin/fleetbit
COPY conf/fleetbit.yaml /etc/fleetbit/fleetbit.yaml
# Within a container these take the place of the defaults that keep to 127.0.0.1. The operator's
# listener, 8081, is for the network of the containers: do not publish it.
ENV FLEETBIT_CONF=/etc/fleetbit/fleetbit.yaml \
    FLEETBIT_LISTEN=0.0.0.0:8080 \
    FLEETBIT_ADMIN=0.0.0.0:8081 \
    FLEETBIT_DATA=/var/lib/fleetbit
EXPOSE 8080 8081
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["fleetbit", "health"]
ENTRYPOINT ["fleetbit"]
CMD ["serve"]
