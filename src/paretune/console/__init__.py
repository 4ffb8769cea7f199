"""The run console: pages over the views of runs, live from a server, from a store, or in one file."""
