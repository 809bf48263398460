"""One file per implementation of a store Protocol."""
