"""What a run says: histograms, intervals, attribution, self-audit, and the rows that are reported."""
