"""Images on the device: subsets of scenarios, views, and the batches of an epoch."""
