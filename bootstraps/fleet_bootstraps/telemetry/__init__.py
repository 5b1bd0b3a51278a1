"""How services are watched: logs, metrics, traces, health. What is off is not even imported."""
