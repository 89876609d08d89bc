"""One module per group; importing them fills the table."""

from experiments import (clocks, coordinator, database, devices, everything, network, object_store,  # noqa: F401
                         replicated, security, uploads, workers)
