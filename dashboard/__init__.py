"""The web page: the cluster at a glance, live."""
