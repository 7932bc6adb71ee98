# Holds the namespaces of a pod: no more than a process that sleeps.
FROM galerist-proxy
ENTRYPOINT ["sleep", "infinity"]
