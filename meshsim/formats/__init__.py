"""Other people's files, and the files that we hand out."""
