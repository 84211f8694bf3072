"""What is measured: predictions, metrics, costs, and what is seen while a cell trains."""
