"""The RTP engine and its server; imports nothing of softswitch."""
