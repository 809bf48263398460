/* What Python says of a far end (protocol.ConfigureEndpoint), checked before any worker sees it, and what it may say.
 *
 * Called by module.c.
 */
#define PY_SSIZE_T_CLEAN
#include "module.h"

#include <arpa/inet.h>

/* False, and no family, where `text` is no address. */
static bool read_host(const char *text, union address *address)
{
    bool v6 = strchr(text, ':') != NULL;
    address->any.sa_family = v6 ? AF_INET6 : AF_INET;
    if (inet_pton(address->any.sa_family, text, v6 ? (void *)&address->v6.sin6_addr : &address->v4.sin_addr) == 1)
        return true;
    address->any.sa_family = AF_UNSPEC;
    return false;
}

static bool read_address(const char *text, int port, union address *address)
{
    address_set_port(address, (uint16_t)port);
    if (port < 0 || port > 65535)
        PyErr_Format(PyExc_ValueError, "not a UDP port: %d", port);
    else if (!read_host(text, address))
        PyErr_Format(PyExc_ValueError, "not an IP address: %s", text);
    return !PyErr_Occurred();
}

/* `name`: empty for G.711. False with an exception set where the far end can't be spoken with so. */
static bool read_codec(const char *name, int ptime_ms, int event_clock, struct remote *remote)
{
    remote->codec = *name ? codec_named(name) : NULL;
    remote->event_scale = (uint8_t)(event_clock / 8000);
    uint8_t packet_times = remote->codec ? remote->codec->packet_times : 0x3F;
    if (*name && !remote->codec)
        PyErr_Format(PyExc_ValueError, "this build has no %s", name);
    else if (!*name && remote->payload_type != PCMA && remote->payload_type != PCMU)
        PyErr_Format(PyExc_ValueError, "payload type %d is neither PCMA (8) nor PCMU (0)", remote->payload_type);
    else if (remote->payload_type < 0 || remote->payload_type > 127 || remote->payload_type_in < 0
             || remote->payload_type_in > 127)
        PyErr_Format(PyExc_ValueError, "payload types %d and %d, expected 0 to 127", remote->payload_type,
                     remote->payload_type_in);
    else if (ptime_ms < 10 || ptime_ms > MAX_PTIME_MS || ptime_ms % 10 || !(packet_times >> (ptime_ms / 10 - 1) & 1))
        PyErr_Format(PyExc_ValueError, "ptime of %d ms, expected tens from 10 to %d that %s has", ptime_ms, MAX_PTIME_MS,
                     *name ? name : "G.711");
    else if (event_clock != 8000 && event_clock != 48000)
        PyErr_Format(PyExc_ValueError, "telephone-event with a clock of %d Hz, expected 8000 or 48000", event_clock);
    return !PyErr_Occurred();
}

bool module_remote(PyObject *args, struct command *command)
{
    const char *address, *signalling, *codec = "";
    int port, rtcp_port, ptime_ms, sending, receiving, nat, mux, event_clock = 8000;
    int fec = 0, cbr = 0, dtx = 0;
    struct remote *remote = &command->remote;
    struct keys keys;
    if (!PyArg_ParseTuple(args, "Isihhhiippppssy#y#|shiIpppb", &command->handle, &address, &port, &remote->payload_type,
                          &remote->event_out, &remote->event_in, &ptime_ms, &rtcp_port, &sending, &receiving, &nat, &mux,
                          &signalling, &keys.suite, &keys.send, &keys.send_length, &keys.receive, &keys.receive_length,
                          &codec, &remote->payload_type_in, &event_clock, &remote->tuning.bitrate, &fec, &cbr, &dtx,
                          &remote->event_other)
        || !read_address(address, port, &remote->announced.rtp) || !read_codec(codec, ptime_ms, event_clock, remote))
        return false;
    if (rtcp_port < 0 || rtcp_port > 65535) {
        PyErr_Format(PyExc_ValueError, "not a UDP port: %d", rtcp_port);
        return false;
    }
    remote->frame = (uint16_t)(ptime_ms * 8);
    remote->announced.rtcp_port = (uint16_t)(rtcp_port ? rtcp_port : port + 1);
    remote->sending = sending;
    remote->receiving = receiving;
    remote->tuning.fec = fec;
    remote->tuning.cbr = cbr;
    remote->tuning.dtx = dtx;
    read_host(signalling, &remote->announced.signalling);
    remote->announced.nat = nat;
    remote->announced.mux = mux;
    return module_read_keys(&keys, remote);
}

bool module_add_names(PyObject *module, const char *name, const char *(*name_at)(int index))
{
    PyObject *names = module ? PyList_New(0) : NULL;
    for (int i = 0; names && name_at(i); i++) {
        PyObject *one = PyUnicode_FromString(name_at(i));
        if (!one || PyList_Append(names, one) < 0)
            Py_CLEAR(names);
        Py_XDECREF(one);
    }
    PyObject *tuple = names ? PyList_AsTuple(names) : NULL;
    bool added = tuple && PyModule_AddObjectRef(module, name, tuple) == 0;
    Py_XDECREF(names);
    Py_XDECREF(tuple);
    return added;
}
