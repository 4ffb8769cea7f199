"""Our record in the words of the wire: pure projections, without HTTP, clock or store."""
