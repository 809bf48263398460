/* What the files of the core's Python face share. */
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

/* module_kernel_relay.c */
extern PyTypeObject kernel_relay_type;
/* Before the worker starts; `relay`: a KernelRelay or None. False with an exception set. */
bool module_join_relay(PyObject *relay, struct worker *worker, uint32_t capacity, uint32_t first);

/* module_remote.c: the arguments of configure() into `command`; false with an exception set. Its contexts, if any, are the
 * caller's to free. */
bool module_remote(PyObject *args, struct command *command);
/* Adds a tuple of names, as far as there are any, to the module; false with an exception set. */
bool module_add_names(PyObject *module, const char *name, const char *(*name_at)(int index));

#endif
