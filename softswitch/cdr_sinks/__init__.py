"""One file per place that finished call detail records go to."""
