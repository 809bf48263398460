"""Tests of softswitch/interconnect."""
