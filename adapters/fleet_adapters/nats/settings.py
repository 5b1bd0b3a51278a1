"""How to reach the NATS servers: data only; secrets are named, never held."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """A connection to NATS.

    Attributes:
        servers: URLs of one cluster, `nats://HOST:PORT` or `tls://HOST:PORT`; no credentials.
        user: the user's name, where the server wants user and password.
        password_secret: the name of the secret that holds the user's password.
        nkey_secret: the name of the secret that holds a user's nkey seed (`SU...`).
        creds_file: a `.creds` file of a user's JWT and seed; a relative path lies under FLEET_HOME.
        ca_file: the certificates that the servers' must come from; asks for TLS.
        cert_file, key_file: our own certificate and its key; ask for TLS.
        connect_ms: how long opening waits for a server.
        answer_ms: how long a request, or a publication, waits for its answer, outages included.
        inbox_prefix: where answers are sent; for users who may only subscribe to their own inbox.
        dedup_s: for how long a stream knows the ids it holds, in seconds; no longer than its age.
        replicas: copies of each stream that is created, in a cluster.
        max_event_bytes: a larger event is neither published nor handed on.
    """

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    user: str = ""
    password_secret: str = ""
    nkey_secret: str = ""
    creds_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    connect_ms: int = 5_000
    answer_ms: int = 10_000
    inbox_prefix: str = "_INBOX"
    dedup_s: int = 86_400
    replicas: int = 1
    max_event_bytes: int = 768 * 1024


@dataclass(frozen=True, slots=True)
class NatsTokensSettings(NatsSettings):
    """The same, and how words are sent.

    Attributes:
        flush_ms: pieces are joined for so long before they are sent.
        max_chars: what may wait, in characters, to be sent and at each listener; then the oldest
            is lost.
    """

    flush_ms: int = 20
    max_chars: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class NatsExecutorSettings(NatsSettings):
    """The same, and how jobs are queued and executors asked.

    Attributes:
        ask_ms: how long executors may take to say what they hold.
        ack_wait_ms: a job whose executor is silent for so long goes to another; of the serving
            side, which says three times in it that it is at work.
        max_jobs: jobs that one serving executor takes at most; more wait in the queue.
    """

    ask_ms: int = 2_000
    ack_wait_ms: int = 10_000
    max_jobs: int = 1_000
