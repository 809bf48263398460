/* `_native.KernelRelay(streams, workers)`: the kernel's program and its memory, for all cores of a process (kernel_relay.h). */
#define PY_SSIZE_T_CLEAN
#include "module.h"

#define MAX_STREAMS (1u << 20)
#define MAX_WORKERS 255 /* what kernel_flow has room for */

typedef struct {
    PyObject_HEAD
    struct kernel_relay *relay;
} KernelRelay;

static int relay_init(KernelRelay *self, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    unsigned int streams, workers = 1;
    char why[160];
    if (!PyArg_ParseTuple(args, "I|I", &streams, &workers))
        return -1;
    if (workers < 1 || workers > MAX_WORKERS) {
        PyErr_Format(PyExc_ValueError, "%u workers, expected 1 to %d", workers, MAX_WORKERS);
        return -1;
    }
    if (self->relay || streams < 1 || streams > MAX_STREAMS) {
        PyErr_Format(PyExc_ValueError, "%u streams, expected 1 to %u", streams, MAX_STREAMS);
        return -1;
    }
    self->relay = kernel_relay_open(streams, workers, why, sizeof why);
    if (!self->relay)
        PyErr_SetString(PyExc_OSError, why);
    return self->relay ? 0 : -1;
}

static void relay_dealloc(KernelRelay *self)
{
    if (self->relay)
        kernel_relay_close(self->relay);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *relay_interfaces(KernelRelay *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->relay ? self->relay->links_count : 0);
}

static PyObject *relay_detach(KernelRelay *self, PyObject *Py_UNUSED(ignored))
{
    if (self->relay)
        kernel_relay_detach(self->relay);
    Py_RETURN_NONE;
}

static PyMethodDef relay_methods[] = {
    {"detach", (PyCFunction)relay_detach, METH_NOARGS, "detach(): the kernel passes nothing on any more"},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef relay_members[] = {
    {"interfaces", (getter)relay_interfaces, NULL, "on how many it takes packets", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject kernel_relay_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "media._native.KernelRelay",
    .tp_doc = "KernelRelay(streams, workers=1): the kernel passes ordinary streams on; raises OSError with a reason where it can't.",
    .tp_basicsize = sizeof(KernelRelay),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)relay_init,
    .tp_dealloc = (destructor)relay_dealloc,
    .tp_methods = relay_methods,
    .tp_getset = relay_members,
};

bool module_join_relay(PyObject *relay, struct worker *worker, uint32_t capacity, uint32_t first)
{
    if (relay == Py_None)
        return true;
    if (!PyObject_TypeCheck(relay, &kernel_relay_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a KernelRelay or None");
        return false;
    }
    struct kernel_relay *shared = ((KernelRelay *)relay)->relay;
    if ((uint64_t)first + capacity > shared->streams) {
        PyErr_SetString(PyExc_ValueError, "the relay has too few streams");
        return false;
    }
    if (kernel_relay_join(worker, shared, first))
        return true;
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
}
