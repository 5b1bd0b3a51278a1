"""Every store port in this process's memory: for tests, simulation and the `scripted` profile."""
