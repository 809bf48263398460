"""Real calls through a real switch on loopback, with phones that listen to what they hear."""
