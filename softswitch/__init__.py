"""softswitch: the open privacy-number softswitch."""

__version__ = "0.1.0"
