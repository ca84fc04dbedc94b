"""`modelport export`: a model as files for another platform. A platform is a file in `targets/`."""
