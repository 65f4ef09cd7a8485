"""Questions asked of many runs: compare data planes, grow an application, one scenario in full, a sweep."""
