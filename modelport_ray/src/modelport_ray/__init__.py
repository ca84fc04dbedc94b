"""The executor `ray`: a deployment's workers on the machines of a Ray cluster.

Three processes take part. The gateway places calls (`executor`). A driver, one for each cluster, is the only process
here that has loaded Ray (`driver`, spoken to by `link`): Ray ends a process that loses its head node, and the gateway
must not end. On a node, an actor hosts modelport's own local executor with one worker (`host`).
"""
