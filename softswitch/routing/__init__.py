"""Decisions only: who reaches whom through X, by which trunk, with which treatment. No I/O but the store."""
