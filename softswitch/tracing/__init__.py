"""Traces of calls as they went over the wire: kept in bounded memory, exported to Homer, written as pcap-ng."""
