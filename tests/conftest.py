"""What every test directory shares: the lab's plugin and fixtures."""

from hypothesis import settings

pytest_plugins = ["tests.lab.plugin", "tests.lab.conformance", "tests.lab.fixtures"]

# How long an example takes says something of the machine, nothing of the code; speed lives in benchmarks/.
settings.register_profile("ikectl", deadline=None)
settings.load_profile("ikectl")
