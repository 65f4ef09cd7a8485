"""Questions asked of many runs: compare, grow, one scenario in full, sweep, replay, solve, sensitivity."""
