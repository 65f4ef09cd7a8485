"""From a scenario and its costs to flat arrays: place the pods, compose the hops, lower. Also the static bill."""
