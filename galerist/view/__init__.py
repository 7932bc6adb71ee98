"""What people are shown of a cluster: one model, which the command line and the web page render."""
