"""Benchmarks: ours against the floor, the bare driver doing the same work in the same run."""
