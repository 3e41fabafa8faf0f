"""What the operator sees of the checks: the decision log and the metrics."""
