"""What each path of the service costs, beside a bare baseline in the same run. python -m benchmarks"""
