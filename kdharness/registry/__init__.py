"""What is installed: the plugins, their records by name, and where each came from."""
