"""The job server: takes jobs over HTTP, runs each in a process of its own, tells how they stand."""
