"""The groups of the matrix, in its order; together they name every row."""

import importlib

NAMES = ("flags", "configuration", "identity", "rpc", "leases", "uploads", "weights", "model_config", "texts", "locations",
         "results", "load")
CASES = [case for name in NAMES for case in importlib.import_module(f"groups.{name}").CASES]
