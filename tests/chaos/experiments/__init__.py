"""One module per group; importing them fills the table."""

from experiments import clocks, coordinator, database, network, object_store, replicated, security, workers  # noqa: F401
