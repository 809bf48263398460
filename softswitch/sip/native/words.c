/* See words.h. Open addressing; nothing is ever taken out but all. */
#include "words.h"

#include <string.h>

static unsigned hash_of(struct span text)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < text.size; i++)
        hash = (hash ^ (uint8_t)text.at[i]) * 16777619u;
    return (hash ^ (hash >> 15)) % WORDS_CAPACITY;
}

static unsigned place_of(const struct words *words, struct span text)
{
    unsigned place = hash_of(text);
    for (const struct word *one; (one = &words->places[place])->text; place = (place + 1) % WORDS_CAPACITY) {
        if (one->size == text.size && !memcmp(one->text, text.at, text.size))
            break;
    }
    return place;
}

bool words_put(struct words *words, PyObject *key, PyObject *meaning, unsigned mark)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(key, &size);
    if (!text)
        return false;
    struct word *word = &words->places[place_of(words, (struct span){text, (size_t)size})];
    if (!word->text && ++words->count > WORDS_CAPACITY / 2) {
        PyErr_SetString(PyExc_ValueError, "too many words");
        return false;
    }
    Py_INCREF(key);
    Py_INCREF(meaning);
    Py_XSETREF(word->key, key);
    Py_XSETREF(word->meaning, meaning);
    word->text = text;
    word->size = (size_t)size;
    word->mark = mark;
    return true;
}

const struct word *words_find(const struct words *words, struct span text)
{
    const struct word *word = &words->places[place_of(words, text)];
    return word->text ? word : NULL;
}

void words_clear(struct words *words)
{
    for (unsigned place = 0; place < WORDS_CAPACITY; place++) {
        Py_CLEAR(words->places[place].key);
        Py_CLEAR(words->places[place].meaning);
    }
    memset(words, 0, sizeof *words);
}
