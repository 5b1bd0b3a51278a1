"""The whole fleet in one thread on simulated time, against an adversary drawn from a seed."""
