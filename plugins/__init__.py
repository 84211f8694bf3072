"""The built-in plugins of kdharness: methods, models, datasets and metrics."""
