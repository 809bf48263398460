/* The Python face of the core: commands go into the ring, events come out of it; no packet ever passes here.
 *
 * Called by media/engine.py from one thread. Gives out the handles (generation << 16 | slot), so that no command has
 * to wait for the worker.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include "module.h"

#define MAX_CAPACITY 32768

/* Slots of one kind of object; owned by the Python thread. */
struct pool {
    uint32_t free_count;
    uint16_t *free_slots, *generations;
};

/* Kept alive while a worker plays them. */
struct played {
    PyObject *samples;
    struct piece *pieces;
};

typedef struct {
    PyObject_HEAD
    struct worker worker;
    struct pool endpoints, playbacks, recordings;
    struct played *played;
    PyObject *relay; /* the kernel's, or NULL */
    int event_fd;
    bool running;
} Core;

static bool pool_create(struct pool *pool, uint32_t capacity)
{
    pool->free_slots = calloc(capacity, sizeof(uint16_t));
    pool->generations = calloc(capacity, sizeof(uint16_t));
    if (!pool->free_slots || !pool->generations)
        return false;
    pool->free_count = capacity;
    for (uint32_t i = 0; i < capacity; i++)
        pool->free_slots[i] = (uint16_t)(capacity - 1 - i);
    return true;
}

static void pool_destroy(struct pool *pool)
{
    free(pool->free_slots);
    free(pool->generations);
}

/* A new handle, or 0 with an exception set. */
static uint32_t pool_take(struct pool *pool, const char *what)
{
    if (!pool->free_count) {
        PyErr_Format(PyExc_RuntimeError, "no free %s", what);
        return 0;
    }
    uint16_t slot = pool->free_slots[--pool->free_count];
    if (!++pool->generations[slot])
        pool->generations[slot] = 1;
    return (uint32_t)pool->generations[slot] << 16 | slot;
}

static void pool_give_back(struct pool *pool, uint32_t handle)
{
    pool->free_slots[pool->free_count++] = (uint16_t)handle;
}

/* Commands */

static PyObject *core_push(Core *self, const struct command *command)
{
    if (!self->running) {
        PyErr_SetString(PyExc_RuntimeError, "the core is stopped");
        return NULL;
    }
    if (!worker_command(&self->worker, command)) {
        PyErr_SetString(PyExc_RuntimeError, "the command ring is full");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Pushes a command that creates something; its handle, or back to the pool with it. */
static PyObject *core_push_new(Core *self, struct pool *pool, const struct command *command)
{
    PyObject *done = core_push(self, command);
    if (!done) {
        pool_give_back(pool, command->handle);
        return NULL;
    }
    Py_DECREF(done);
    return PyLong_FromUnsignedLong(command->handle);
}

static PyObject *core_open(Core *self, PyObject *args)
{
    struct command command = {.type = COMMAND_OPEN};
    unsigned long long random;
    if (!PyArg_ParseTuple(args, "iiIHIK", &command.open.rtp_fd, &command.open.rtcp_fd, &command.open.ssrc,
                          &command.open.sequence, &command.open.timestamp, &random))
        return NULL;
    command.open.cname = random;
    command.handle = pool_take(&self->endpoints, "endpoint");
    return command.handle ? core_push_new(self, &self->endpoints, &command) : NULL;
}

static PyObject *core_configure(Core *self, PyObject *args)
{
    struct command command = {.type = COMMAND_CONFIGURE};
    PyObject *done = module_remote(args, &command) ? core_push(self, &command) : NULL;
    if (!done) {
        srtp_context_free(command.remote.srtp_in);
        srtp_context_free(command.remote.srtp_out);
    }
    return done;
}

static PyObject *core_connect(Core *self, PyObject *args)
{
    struct command command = {.type = COMMAND_CONNECT};
    int digits;
    if (!PyArg_ParseTuple(args, "IIp", &command.handle, &command.connect.other, &digits))
        return NULL;
    command.connect.digits = digits;
    return core_push(self, &command);
}

static PyObject *core_disconnect(Core *self, PyObject *args)
{
    struct command command = {.type = COMMAND_DISCONNECT};
    if (!PyArg_ParseTuple(args, "II", &command.handle, &command.connect.other))
        return NULL;
    return core_push(self, &command);
}

static bool read_listeners(PyObject *listeners, struct command *command)
{
    Py_ssize_t count = PyTuple_GET_SIZE(listeners);
    if (count < 1 || count > MAX_LISTENERS) {
        PyErr_Format(PyExc_ValueError, "%zd listeners, expected 1 to %d", count, MAX_LISTENERS);
        return false;
    }
    command->play.count = (uint8_t)count;
    for (Py_ssize_t i = 0; i < count; i++)
        command->play.listeners[i] = (uint32_t)PyLong_AsUnsignedLong(PyTuple_GET_ITEM(listeners, i));
    return !PyErr_Occurred();
}

/* The pieces that lie in `samples`, a tuple of bytes; NULL with an exception set. */
static struct piece *read_pieces(PyObject *samples)
{
    Py_ssize_t count = PyTuple_GET_SIZE(samples);
    if (count < 1 || count > UINT16_MAX) {
        PyErr_SetString(PyExc_ValueError, "nothing to play");
        return NULL;
    }
    struct piece *pieces = PyMem_Calloc((size_t)count, sizeof *pieces);
    if (!pieces)
        return (struct piece *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *piece = PyTuple_GET_ITEM(samples, i);
        if (!PyBytes_Check(piece) || !PyBytes_GET_SIZE(piece)) {
            PyMem_Free(pieces);
            PyErr_SetString(PyExc_ValueError, "nothing to play");
            return NULL;
        }
        pieces[i].samples = (const uint8_t *)PyBytes_AS_STRING(piece);
        pieces[i].length = (size_t)PyBytes_GET_SIZE(piece);
    }
    return pieces;
}

static PyObject *core_play(Core *self, PyObject *args)
{
    struct command command = {.type = COMMAND_PLAY};
    PyObject *listeners, *samples;
    int loop, mix;
    if (!PyArg_ParseTuple(args, "O!O!ppH", &PyTuple_Type, &listeners, &PyTuple_Type, &samples, &loop, &mix,
                          &command.play.once)
        || !read_listeners(listeners, &command))
        return NULL;
    command.play.piece_count = (uint16_t)PyTuple_GET_SIZE(samples);
    command.play.loop = loop;
    command.play.mix = mix;
    if (loop && command.play.once >= PyTuple_GET_SIZE(samples))
        return PyErr_Format(PyExc_ValueError, "a loop of nothing");
    struct piece *pieces = read_pieces(samples);
    if (!pieces)
        return NULL;
    command.play.pieces = pieces;
    command.handle = pool_take(&self->playbacks, "playback");
    PyObject *handle = command.handle ? core_push_new(self, &self->playbacks, &command) : NULL;
    if (handle)
        self->played[command.handle & 0xFFFF] = (struct played){Py_NewRef(samples), pieces};
    else
        PyMem_Free(pieces);
    return handle;
}

static void played_release(struct played *played)
{
    Py_CLEAR(played->samples);
    PyMem_Free(played->pieces);
    played->pieces = NULL;
}

static PyObject *core_record(Core *self, PyObject *args)
{
    struct command command = {.type = COMMAND_RECORD};
    int stereo, voices;
    long long elapsed;
    if (!PyArg_ParseTuple(args, "IIppL", &command.record.left, &command.record.right, &stereo, &voices, &elapsed))
        return NULL;
    command.record.stereo = stereo;
    command.record.voices = voices;
    command.record.elapsed = elapsed;
    command.handle = pool_take(&self->recordings, "recording");
    return command.handle ? core_push_new(self, &self->recordings, &command) : NULL;
}

static PyObject *core_file(Core *self, PyObject *args)
{
    struct command command = {.type = COMMAND_FILE};
    long long written;
    if (!PyArg_ParseTuple(args, "IiL", &command.handle, &command.file.fd, &written))
        return NULL;
    command.file.written = written;
    return core_push(self, &command);
}

static PyObject *core_simple(Core *self, PyObject *args, enum command_type type)
{
    struct command command = {.type = type};
    if (!PyArg_ParseTuple(args, "I", &command.handle))
        return NULL;
    return core_push(self, &command);
}

static PyObject *core_stop_play(Core *self, PyObject *args)
{
    return core_simple(self, args, COMMAND_STOP_PLAY);
}

static PyObject *core_voices(Core *self, PyObject *args)
{
    return core_simple(self, args, COMMAND_VOICES);
}

static PyObject *core_close_recording(Core *self, PyObject *args)
{
    return core_simple(self, args, COMMAND_CLOSE_RECORDING);
}

static PyObject *core_close(Core *self, PyObject *args)
{
    return core_simple(self, args, COMMAND_CLOSE);
}

/* Events */

/* What the event ends is free again. */
static void core_release(Core *self, const struct event *event)
{
    if (event->type == EVENT_CLOSED)
        pool_give_back(&self->endpoints, event->handle);
    else if (event->type == EVENT_RECORDED)
        pool_give_back(&self->recordings, event->handle);
    else if (event->type == EVENT_PLAYED) {
        pool_give_back(&self->playbacks, event->handle);
        played_release(&self->played[event->handle & 0xFFFF]);
    }
}

static bool core_drain(Core *self, struct ring *ring, PyObject *list)
{
    const struct event *event;
    while ((event = ring_peek(ring))) {
        PyObject *tuple = module_event(event);
        core_release(self, event);
        ring_pop(ring);
        if (!tuple || PyList_Append(list, tuple) < 0) {
            Py_XDECREF(tuple);
            return false;
        }
        Py_DECREF(tuple);
    }
    return true;
}

static PyObject *core_events(Core *self, PyObject *Py_UNUSED(ignored))
{
    eventfd_t count;
    PyObject *list = PyList_New(0);
    if (!list || !self->running)
        return list;
    (void)eventfd_read(self->event_fd, &count);
    if (!core_drain(self, &self->worker.events, list) || !core_drain(self, &self->worker.writer.events, list)) {
        Py_DECREF(list);
        return NULL;
    }
    return list;
}

/* Life */

static int core_init(Core *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"capacity", "silence_s", "io", "packets_per_s", "relay", "first_stream", NULL};
    unsigned int capacity, packets_per_s = 500, first_stream = 0;
    PyObject *relay = Py_None;
    double silence_s;
    const char *io = "auto";
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Id|sIOI", names, &capacity, &silence_s, &io, &packets_per_s,
                                     &relay, &first_stream))
        return -1;
    if (packets_per_s < 1) {
        PyErr_SetString(PyExc_ValueError, "packets_per_s is 0, expected at least 1");
        return -1;
    }
    if (self->running || capacity < 1 || capacity > MAX_CAPACITY) {
        PyErr_Format(PyExc_ValueError, "capacity is %u, expected 1 to %d", capacity, MAX_CAPACITY);
        return -1;
    }
    if (!module_join_relay(relay, &self->worker, capacity, first_stream))
        return -1;
    self->relay = Py_NewRef(relay);
    self->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    self->played = calloc(MAX_PLAYBACKS, sizeof *self->played);
    if (self->event_fd < 0 || !self->played || !pool_create(&self->endpoints, capacity)
        || !pool_create(&self->playbacks, MAX_PLAYBACKS) || !pool_create(&self->recordings, MAX_RECORDINGS)
        || !worker_start(&self->worker, capacity, (int64_t)(silence_s * SECOND_NS), SECOND_NS / packets_per_s,
                         self->event_fd, io)) {
        PyErr_SetString(PyExc_OSError, "can't start the media core");
        return -1;
    }
    self->running = true;
    return 0;
}

/* False: the writer's thread is left behind. */
static bool core_end(Core *self, int64_t patience)
{
    bool whole = true;
    if (!self->running)
        return true;
    self->running = false;
    Py_BEGIN_ALLOW_THREADS
    whole = worker_stop(&self->worker, patience);
    Py_END_ALLOW_THREADS
    for (uint32_t i = 0; i < MAX_PLAYBACKS; i++)
        played_release(&self->played[i]);
    return whole;
}

static PyObject *core_stop(Core *self, PyObject *args)
{
    double seconds = 60;
    if (!PyArg_ParseTuple(args, "|d", &seconds))
        return NULL;
    bool whole = core_end(self, (int64_t)(seconds * SECOND_NS));
    if (!whole)
        Py_INCREF(self); /* for ever: its thread may wake up some day */
    return PyBool_FromLong(whole);
}

static void core_dealloc(Core *self)
{
    core_end(self, LLONG_MAX / 2);
    if (self->event_fd > 0)
        close(self->event_fd);
    kernel_relay_leave(&self->worker);
    Py_CLEAR(self->relay);
    free(self->played);
    pool_destroy(&self->endpoints);
    pool_destroy(&self->playbacks);
    pool_destroy(&self->recordings);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *core_take_precedence(Core *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->running && worker_take_precedence(&self->worker));
}

/* Which one "auto" came to. */
static PyObject *core_io(Core *self, PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString(self->running ? self->worker.io->kind->name : "");
}

static PyObject *core_lag(Core *self, PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble(self->running ? (double)worker_lag_ns(&self->worker) / SECOND_NS : 0.0);
}

static PyObject *core_fileno(Core *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->event_fd);
}

static PyMethodDef core_methods[] = {
    {"open", (PyCFunction)core_open, METH_VARARGS, "open(rtp_fd, rtcp_fd, ssrc, sequence, timestamp, cname) -> handle"},
    {"configure", (PyCFunction)core_configure, METH_VARARGS,
     "configure(endpoint, address, port, payload_type, event_out, event_in, ptime_ms, rtcp_port, sending, receiving, nat,"
     " mux, signalling, srtp_suite, send_key, receive_key, codec='', payload_type_in=0, event_clock=8000, bitrate=0,"
     " fec=False, cbr=False, dtx=False, event_in_other=0): no SRTP where the suite is empty, the last eight where it speaks"
     " no G.711"},
    {"connect", (PyCFunction)core_connect, METH_VARARGS, "connect(a, b, digits)"},
    {"disconnect", (PyCFunction)core_disconnect, METH_VARARGS, "disconnect(a, b)"},
    {"play", (PyCFunction)core_play, METH_VARARGS, "play(endpoints, samples, loop, mix, once) -> handle"},
    {"stop_play", (PyCFunction)core_stop_play, METH_VARARGS, "stop_play(playback)"},
    {"record", (PyCFunction)core_record, METH_VARARGS,
     "record(left, right, stereo, voices, elapsed_ns) -> handle; the file comes later"},
    {"file", (PyCFunction)core_file, METH_VARARGS,
     "file(recording, fd, written_bytes): once of each, when it is open; fd -1: there is none, the recording is over"},
    {"voices", (PyCFunction)core_voices, METH_VARARGS, "voices(recording)"},
    {"close_recording", (PyCFunction)core_close_recording, METH_VARARGS, "close_recording(recording)"},
    {"close", (PyCFunction)core_close, METH_VARARGS, "close(endpoint)"},
    {"events", (PyCFunction)core_events, METH_NOARGS, "events() -> list of tuples that begin with type and handle"},
    {"fileno", (PyCFunction)core_fileno, METH_NOARGS, "fileno() -> descriptor that is readable while events wait"},
    {"io", (PyCFunction)core_io, METH_NOARGS, "io() -> how sockets are read and written: epoll or uring"},
    {"lag", (PyCFunction)core_lag, METH_NOARGS, "lag() -> seconds since the worker's last tick, 0 while it sleeps"},
    {"take_precedence", (PyCFunction)core_take_precedence, METH_NOARGS,
     "take_precedence() -> whether RTP now comes before other work (SCHED_RR); needs CAP_SYS_NICE"},
    {"stop", (PyCFunction)core_stop, METH_VARARGS,
     "stop(seconds) -> whether the recordings were complete in so many; ends the threads"},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject core_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "media._native.Core",
    .tp_doc = "The media core: Core(capacity, silence_s, io='auto', packets_per_s=500, relay=None, first_stream=0) starts its"
              " worker and writer threads. `relay`: a KernelRelay, whose streams from `first_stream` on are its own.",
    .tp_basicsize = sizeof(Core),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)core_init,
    .tp_dealloc = (destructor)core_dealloc,
    .tp_methods = core_methods,
};

static struct PyModuleDef native_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "media._native",
    .m_doc = "Native core of the media server.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__native(void)
{
    srtp_set_up();
    g711_init(); /* before there is any thread that reads the tables */
    dtmf_init();
    PyObject *module = PyModule_Create(&native_module);
    if (module && (PyModule_AddType(module, &core_type) < 0 || PyModule_AddType(module, &kernel_relay_type) < 0))
        Py_CLEAR(module);
    static const char *const events[] = {"CLOSED", "DIGIT", "SILENCE", "PLAYED", "RECORDED", "TRUNCATED", "TOTALS"};
    for (int i = 0; module && i <= EVENT_TOTALS; i++)
        PyModule_AddIntConstant(module, events[i], i);
    if (module)
        PyModule_AddIntConstant(module, "WAV_HEADER_BYTES", WAV_HEADER);
    if (!module_add_names(module, "SRTP_SUITES", srtp_suite) || !module_add_names(module, "CODECS", codec_name))
        Py_CLEAR(module);
    return module;
}
