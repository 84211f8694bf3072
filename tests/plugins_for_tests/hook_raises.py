"""One hook raises; the plugin's other hook is sound."""

from kdharness.api import MetricSpec, hookimpl


@hookimpl
def kdharness_methods():
    raise RuntimeError("the hook's own fault")


@hookimpl
def kdharness_metrics():
    return [MetricSpec("always_one", lambda evaluation: {"always_one": 1.0}, summary="one, whatever happens")]
