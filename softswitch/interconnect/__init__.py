"""What the switch does about its trunks by itself, apart from calls: health checks and registrations."""
