"""Executor and orchestrator over gRPC: the servers, and the client behind the port `Executor`."""
