"""Makes ``hosts`` importable from the folders below, which have no packages."""
