"""From photo tables to a model folder: partitioning, labels, training, export."""
