"""The fleet as services of their own, on real servers, started and stopped for the features."""
