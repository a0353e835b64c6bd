"""What every test directory shares: the lab's plugin and fixtures."""

pytest_plugins = ["tests.lab.plugin", "tests.lab.conformance", "tests.lab.fixtures"]
