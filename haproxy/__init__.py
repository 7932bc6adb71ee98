"""The watcher that keeps an HAProxy in line with the registry."""
