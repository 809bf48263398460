/* What the two files of the core's Python face share. */
#ifndef MEDIA_MODULE_H
#define MEDIA_MODULE_H

#include <Python.h>

#include "core.h"

/* A new tuple, or NULL with an exception set. */
PyObject *module_event(const struct event *event);

/* module_srtp.c: what protects a far end's packets, as Python tells it. */
struct keys {
    const char *suite; /* "": nothing */
    const uint8_t *send, *receive;
    Py_ssize_t send_length, receive_length;
};

/* The contexts that the keys make; false with an exception set, which names no key. */
bool module_read_keys(const struct keys *keys, struct remote *remote);
/* The names of the suites that there are: empty in a build without libsrtp2. */
PyObject *module_suites(void);

#endif
