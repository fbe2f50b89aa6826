"""Pages with many characters: found, read in order, and kept as lines, words and cells."""
