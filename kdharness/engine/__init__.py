"""Training of a group in lockstep: what cells ask for alike is done once, and nothing else is shared."""
