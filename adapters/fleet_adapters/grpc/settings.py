"""What can be set of a gRPC server and of a client of one. Imports no driver."""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT_PORT = 50051
EXECUTOR_PORT = 50056
ORCHESTRATOR_PORT = 50055


@dataclass(frozen=True, slots=True)
class GrpcServerSettings:
    """How a service is served.

    Attributes:
        listen: `host:port`; port 0 takes a free one. Beyond loopback it needs TLS and a token.
        token: the name of the secret that callers must send as a bearer token; empty for none.
        admin_token: the name of a second secret, which RPCs that change councils or budgets, or
            cancel work, then ask for; it is good for all others too. Empty: `token` is enough.
        tls_cert, tls_key: PEM files of the server's certificate chain and key.
        tls_client_ca: PEM file; callers must then show a certificate signed by it (mTLS).
        insecure: serve beyond loopback without TLS or without a token.
        drain_ms: RPCs under way have so long to end once the service stops.
        max_message_bytes: of one request or answer.
    """

    listen: str = f"127.0.0.1:{EXECUTOR_PORT}"
    token: str = ""
    admin_token: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    insecure: bool = False
    drain_ms: int = 10_000
    max_message_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GrpcClientSettings:
    """How services are reached.

    Attributes:
        address: `host:port` of each.
        token: the name of the secret to send as a bearer token; empty for none.
        tls: whether to speak TLS; any of the files below implies it.
        tls_ca: PEM file of the authorities to trust; empty for the system's.
        tls_cert, tls_key: PEM files to show to a server that asks for them (mTLS).
        tls_server_name: the name in the server's certificate, where it is not the address's host.
        insecure: send requests and token beyond loopback without TLS.
        timeout_ms: of one call to one service.
        max_message_bytes: of one request or answer.
    """

    address: tuple[str, ...]
    token: str = ""
    tls: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_server_name: str = ""
    insecure: bool = False
    timeout_ms: int = 5_000
    max_message_bytes: int = 16 * 1024 * 1024

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.tls or bool(self.tls_ca or self.tls_cert or self.tls_key)


@dataclass(frozen=True, slots=True)
class GrpcExecutorSettings(GrpcClientSettings):
    """How executors are reached.

    Attributes:
        address: `host:port` of each executor. Jobs go to one that takes them; questions and
            cancellations go to all.
    """

    address: tuple[str, ...] = (f"127.0.0.1:{EXECUTOR_PORT}",)


@dataclass(frozen=True, slots=True)
class GrpcHydratorSettings(GrpcClientSettings):
    """How context services are reached.

    Attributes:
        address: `host:port` of each context service; one that is away is passed over.
        timeout_ms: of one call to one service; a tokenizer may have to count a large plan.
    """

    address: tuple[str, ...] = (f"127.0.0.1:{CONTEXT_PORT}",)
    timeout_ms: int = 15_000
