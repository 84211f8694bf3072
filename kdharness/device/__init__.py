"""Everything that asks which device it is."""

# The type of the devices, beside the CPU, that runs are made for.
ACCELERATOR = "cuda"
