"""Throughput, latency and CPU of each path of the service, compared with a bare baseline: `python -m benchmarks`."""
