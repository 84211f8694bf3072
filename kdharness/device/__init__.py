"""Everything that asks which device it is."""
