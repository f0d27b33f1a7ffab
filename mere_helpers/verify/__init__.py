"""Evidence about finished packages: the sums that all should get, and one package built again from its own word."""
