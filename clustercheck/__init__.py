"""The health endpoint of a node: a poller, a pure verdict, a small web server."""
