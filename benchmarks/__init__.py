"""Benchmarks: what each path of the service costs, beside a bare baseline in the same run. Start: python -m benchmarks"""
