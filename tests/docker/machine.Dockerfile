# A machine with systemd, and on it the programs of a node and a proxy
FROM galerist-node
USER root
RUN apt-get update -q \
    && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends systemd systemd-sysv haproxy \
    && rm -rf /var/lib/apt/lists/* /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/*
ENV container=docker GALERIST_DATADIR=
STOPSIGNAL SIGRTMIN+3
HEALTHCHECK NONE
ENTRYPOINT ["/sbin/init"]
CMD []
