/* What the two files of the core's Python face share. */
#ifndef MEDIA_MODULE_H
#define MEDIA_MODULE_H

#include <Python.h>

#include "core.h"

/* A new tuple, or NULL with an exception set. */
PyObject *module_event(const struct event *event);

#endif
