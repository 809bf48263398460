"""The reader of plain messages in C, by itself: under the sanitizers and, with clang, fuzzed."""
