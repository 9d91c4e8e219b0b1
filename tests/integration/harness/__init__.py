"""What the integration tests stand on: a local EVM node with a world of contracts, databases of
their own, the daemon as a process, and a reader of the truth that shares no code with trueup."""
