"""From a benchmark and a command line to a plan: cells with keys, and the graph of what each requires."""
