"""What containers and hosts need around a node."""
