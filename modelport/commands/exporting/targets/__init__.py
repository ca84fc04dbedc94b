"""One platform a file. Each has

`ABOUT`: one line for the help; `OPTIONS`: click options of its own; and `export(workload, **options)`, the `Export`. Of
modelport it needs only `workload` and `writing`. `modelport export --to` offers all files that lie here.
"""
