# A machine with systemd and Debian's own HAProxy, and galerist on it
FROM galerist-proxy
USER root
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends procps systemd systemd-sysv \
    && rm -rf /var/lib/apt/lists/* /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/*
ENV container=docker
STOPSIGNAL SIGRTMIN+3
HEALTHCHECK NONE
ENTRYPOINT ["/sbin/init"]
CMD []
