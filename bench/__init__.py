"""Speed against the bare library and against a peer, in one run: `make bench`."""
