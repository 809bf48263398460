"""Tests of softswitch/tracing."""
