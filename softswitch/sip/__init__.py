"""RFC 3261 and friends, sans-IO; knows nothing of calls, trunks or media."""
