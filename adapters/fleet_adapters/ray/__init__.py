"""The `ray` runner: jobs run in Ray actors, on this machine or on a cluster."""
