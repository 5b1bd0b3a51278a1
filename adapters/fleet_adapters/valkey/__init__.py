"""The `valkey` state and blob stores: documents and bytes on a Valkey or Redis server."""
