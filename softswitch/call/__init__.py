"""The B2BUA: what the product is. Start reading in `b2bua.py`."""
