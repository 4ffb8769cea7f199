"""What the keys of a job document come to: prompt, splits, limits, and the search of each algorithm."""
