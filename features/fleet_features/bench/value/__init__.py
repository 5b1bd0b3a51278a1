"""The experiment of `make bench BENCH=context-value`, in parts; see `bench/context_value.py`."""
