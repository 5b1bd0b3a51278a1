"""Two nodes of one cluster on this machine: prints the address; kills the second at a line."""

from __future__ import annotations

import sys
from typing import Any

from ray import cluster_utils


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    node = {
        "num_cpus": 1,
        "object_store_memory": 100_000_000,
        "min_worker_port": 0,
        "max_worker_port": 0,
    }
    head = {**node, "include_dashboard": False}
    cluster: Any = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(**node)
    cluster.wait_for_nodes()
    say(f"serves {cluster.address}")
    sys.stdin.readline()
    cluster.remove_node(second, allow_graceful=False)
    say("killed")
    sys.stdin.readline()
    cluster.shutdown()


if __name__ == "__main__":
    main()
