/* Words that messages are full of, each found by its bytes as the one Python string that all share: header names in
 * their usual spellings, methods, names of parameters. Used by module.c. */
#ifndef SOFTSWITCH_SIP_WORDS_H
#define SOFTSWITCH_SIP_WORDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "plain.h"

#define WORDS_CAPACITY 512 /* a power of two, at least twice as many as there are words */

struct word {
    const char *text; /* NULL: free */
    size_t size;
    PyObject *key, *meaning;
    unsigned mark; /* what module.c wants to know of it */
};

struct words {
    unsigned count;
    struct word places[WORDS_CAPACITY];
};

/* False, with an exception set, where there is no room or `key` is no text. A word that is there gets the new meaning. */
bool words_put(struct words *words, PyObject *key, PyObject *meaning, unsigned mark);

/* NULL where it is none of them. */
const struct word *words_find(const struct words *words, struct span text);

void words_clear(struct words *words);

#endif
