"""One file per implementation of the MediaDriver Protocol."""
