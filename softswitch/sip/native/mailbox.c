/* softswitch.sip._mailbox: what waits at a UDP socket, taken by one system call for many datagrams (recvmmsg(2)).
 *
 * Called by transport.py. socket.recvfrom costs a block of 64 KB, an address written out and an exception at the end of
 * each wake; here sources that were seen lately are the same objects again. Errors of the socket are no datagrams:
 * nothing is raised for them.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* recvmmsg */
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define AT_ONCE 32 /* datagrams of one system call */
#define LARGEST 65535
#define SOURCES 256 /* remembered; a power of two */

struct source {
    struct sockaddr_storage address;
    socklen_t size;
    PyObject *hop;
};

/* Where one system call puts what it finds. */
struct arrived {
    unsigned used; /* headers that the system has changed */
    struct sockaddr_storage from[AT_ONCE];
    struct iovec vectors[AT_ONCE];
    struct mmsghdr headers[AT_ONCE];
    char data[AT_ONCE][LARGEST + 1];
};

typedef struct {
    PyObject_HEAD
    int fd;
    bool busy;
    struct arrived *arrived;
    PyObject *hop_of; /* (host, port) -> what stands for the source */
    struct source sources[SOURCES];
} Mailbox;

static unsigned place_of(const struct sockaddr_storage *address, socklen_t size)
{
    const unsigned char *bytes = (const unsigned char *)address;
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (socklen_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return (hash ^ (hash >> 15)) % SOURCES;
}

/* As socket.recvfrom writes it: without the scope of a link-local address, which no header may carry. */
static PyObject *written_out(PyObject *hop_of, const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    in_port_t port;
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        port = six->sin6_port;
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        port = four->sin_port;
    }
    return PyObject_CallFunction(hop_of, "sH", host, ntohs(port));
}

/* What stands for the source of a datagram; a new reference. */
static PyObject *source_of(Mailbox *self, const struct sockaddr_storage *address, socklen_t size)
{
    struct source *known = &self->sources[place_of(address, size)];
    if (!known->hop || known->size != size || memcmp(&known->address, address, size)) {
        PyObject *hop = written_out(self->hop_of, address);
        if (!hop)
            return NULL;
        Py_XSETREF(known->hop, hop);
        memcpy(&known->address, address, size);
        known->size = size;
    }
    return Py_NewRef(known->hop);
}

/* (data, source) of one datagram at the end of the list. */
static bool append(Mailbox *self, PyObject *list, unsigned which)
{
    const struct arrived *arrived = self->arrived;
    const struct mmsghdr *header = &arrived->headers[which];
    PyObject *source = source_of(self, &arrived->from[which], header->msg_hdr.msg_namelen);
    PyObject *data = source ? PyBytes_FromStringAndSize(arrived->data[which], header->msg_len) : NULL;
    PyObject *pair = data ? PyTuple_Pack(2, data, source) : NULL;
    bool done = pair && PyList_Append(list, pair) == 0;
    Py_XDECREF(pair);
    Py_XDECREF(data);
    Py_XDECREF(source);
    return done;
}

static void prepare(struct arrived *arrived)
{
    for (unsigned i = 0; i < AT_ONCE; i++) {
        arrived->vectors[i] = (struct iovec){arrived->data[i], LARGEST};
        arrived->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &arrived->from[i],
            .msg_iov = &arrived->vectors[i],
            .msg_iovlen = 1,
        };
    }
    arrived->used = AT_ONCE;
}

/* How many datagrams came, at most `most`. */
static unsigned receive(int fd, struct arrived *arrived, unsigned most)
{
    for (unsigned i = 0; i < arrived->used; i++)
        arrived->headers[i].msg_hdr.msg_namelen = sizeof arrived->from[i]; /* the system wrote how much it used */
    int count = recvmmsg(fd, arrived->headers, most, MSG_DONTWAIT, NULL);
    arrived->used = count < 0 ? 0 : (unsigned)count;
    return arrived->used;
}

PyDoc_STRVAR(take_doc, "take(most, /)\n--\n\n[(data, source), ...] of what waits now, at most `most`; it never waits.");

/* What waits goes to the end of the list, at most `most`. */
static bool take_into(Mailbox *self, PyObject *list, long most)
{
    while (most > 0) {
        unsigned wanted = most < AT_ONCE ? (unsigned)most : AT_ONCE, count = receive(self->fd, self->arrived, wanted);
        for (unsigned i = 0; i < count; i++) {
            if (!append(self, list, i))
                return false;
        }
        if (count < wanted)
            break;
        most -= count;
    }
    return true;
}

static PyObject *take(PyObject *object, PyObject *argument)
{
    Mailbox *self = (Mailbox *)object;
    long most = PyLong_AsLong(argument);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    if (!self->arrived || self->busy) {
        PyErr_SetString(PyExc_ValueError, self->busy ? "a mailbox that is being read" : "a mailbox without a socket");
        return NULL;
    }
    PyObject *list = PyList_New(0);
    self->busy = true; /* hop_of may be anything, and let another thread run */
    if (list && !take_into(self, list, most))
        Py_CLEAR(list);
    self->busy = false;
    return list;
}

static int initialise(PyObject *object, PyObject *arguments, PyObject *names)
{
    static char *keywords[] = {"fd", "hop_of", NULL};
    Mailbox *self = (Mailbox *)object;
    PyObject *hop_of;
    int fd;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "iO", keywords, &fd, &hop_of))
        return -1;
    if (self->arrived) {
        PyErr_SetString(PyExc_ValueError, "a mailbox has one socket");
        return -1;
    }
    if (recvmmsg(fd, NULL, 0, MSG_DONTWAIT, NULL) < 0 && (errno == ENOSYS || errno == EPERM)) {
        PyErr_SetFromErrno(PyExc_OSError); /* a sandbox that lacks it: nothing would ever come */
        return -1;
    }
    struct arrived *arrived = calloc(1, sizeof *arrived); /* 2 MB; what is never used is never mapped */
    if (!arrived) {
        PyErr_NoMemory();
        return -1;
    }
    prepare(arrived);
    self->arrived = arrived;
    self->fd = fd;
    self->hop_of = Py_NewRef(hop_of);
    return 0;
}

static int traverse(PyObject *object, visitproc visit, void *arg)
{
    Mailbox *self = (Mailbox *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->hop_of);
    for (unsigned i = 0; i < SOURCES; i++)
        Py_VISIT(self->sources[i].hop);
    return 0;
}

static int clear(PyObject *object)
{
    Mailbox *self = (Mailbox *)object;
    Py_CLEAR(self->hop_of);
    for (unsigned i = 0; i < SOURCES; i++)
        Py_CLEAR(self->sources[i].hop);
    return 0;
}

static void deallocate(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    clear(object);
    free(((Mailbox *)object)->arrived);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {{"take", take, METH_O, take_doc}, {NULL, NULL, 0, NULL}};

PyDoc_STRVAR(mailbox_doc,
             "Mailbox(fd, hop_of)\n--\n\n"
             "The datagrams of a socket, which stays its owner's; `hop_of(host, port)` makes what stands for a source.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)mailbox_doc},  {Py_tp_new, PyType_GenericNew}, {Py_tp_init, initialise},
    {Py_tp_dealloc, deallocate},       {Py_tp_traverse, traverse},     {Py_tp_clear, clear},
    {Py_tp_methods, methods},          {0, NULL},
};

static PyType_Spec spec = {
    .name = "softswitch.sip._mailbox.Mailbox",
    .basicsize = sizeof(Mailbox),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "softswitch.sip._mailbox", .m_size = -1,
};

PyMODINIT_FUNC PyInit__mailbox(void)
{
    PyObject *made = PyModule_Create(&module), *type = made ? PyType_FromSpec(&spec) : NULL;
    if (!type || PyModule_AddObject(made, "Mailbox", type) < 0) {
        Py_XDECREF(type);
        Py_CLEAR(made);
    }
    return made;
}
