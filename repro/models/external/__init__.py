"""Weights that others trained and published, loaded strictly into the suite's own modules."""
