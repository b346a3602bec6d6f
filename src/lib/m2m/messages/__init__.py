"""Message passing: graphs, the networks on them, and geometry in their messages."""
