"""What it costs: each module is run with `python -m benchmarks.NAME`."""
