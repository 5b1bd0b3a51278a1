"""NATS with JetStream: the event bus, agents' words, and the executor over a work queue."""
