"""The built-in plugins of kdharness: methods, models, datasets, views, optimisers and metrics."""
