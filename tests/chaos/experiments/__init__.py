"""One module per group; importing them fills the table."""

from experiments import (clocks, coordinator, database, everything, network, object_store, replicated,  # noqa: F401
                         security, workers)
