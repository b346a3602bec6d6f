"""Data sets: generators, shipped samples and readers of the formats that readers bring."""
