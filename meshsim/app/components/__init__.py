"""Components of our own: a canvas each, plain JavaScript without a build step."""
