/* Events as the tuples that Python reads: type, handle, and the fields in the order of their message in protocol.py.
 *
 * Called by module.c.
 */
#define PY_SSIZE_T_CLEAN
#include "module.h"

static unsigned long long drops_sum(const struct drops *drops)
{
    return drops->strangers + drops->unusable + drops->excess + drops->forged + drops->replayed;
}

/* The figures in the order of protocol.EndpointClosed. */
static PyObject *statistics_tuple(const struct event *event)
{
    const struct statistics *s = &event->statistics;
    return Py_BuildValue("(iIKKLKdLddKKOKK)", event->type, event->handle, (unsigned long long)s->received,
                         (unsigned long long)s->sent, (long long)s->lost, drops_sum(&s->drops), s->jitter_ms,
                         (long long)s->remote_lost, s->remote_jitter_ms, s->round_trip_ms,
                         (unsigned long long)s->drops.strangers, (unsigned long long)s->drops.excess,
                         s->reported ? Py_True : Py_False, (unsigned long long)s->drops.forged,
                         (unsigned long long)s->drops.replayed);
}

static PyObject *played_tuple(const struct event *event)
{
    PyObject *reports = PyTuple_New(event->played.count);
    if (!reports)
        return NULL;
    for (uint8_t i = 0; i < event->played.count; i++) {
        const struct play_report *r = &event->played.reports[i];
        PyObject *report = Py_BuildValue("(IIIOi)", r->frames, r->first_timestamp, r->last_timestamp,
                                         r->completed ? Py_True : Py_False, r->remote_lost);
        if (!report) {
            Py_DECREF(reports);
            return NULL;
        }
        PyTuple_SET_ITEM(reports, i, report);
    }
    return Py_BuildValue("(iIN)", event->type, event->handle, reports);
}

/* In the order of protocol.Totals. */
static PyObject *totals_tuple(const struct event *event)
{
    const struct totals *t = &event->totals;
    return Py_BuildValue("(iIKKKLKKKIIIKKKKKKKKI)", event->type, 0, (unsigned long long)t->packets_in,
                         (unsigned long long)t->packets_out, drops_sum(&t->drops), (long long)t->lost,
                         (unsigned long long)t->bytes_recorded, (unsigned long long)t->events,
                         (unsigned long long)t->events_lost, t->endpoints, t->playbacks, t->recordings,
                         (unsigned long long)t->drops.strangers, (unsigned long long)t->drops.unusable,
                         (unsigned long long)t->drops.excess, (unsigned long long)t->storms,
                         (unsigned long long)t->drops.forged, (unsigned long long)t->drops.replayed,
                         (unsigned long long)t->packets_late, (unsigned long long)t->packets_kernel, t->kernel_streams);
}

PyObject *module_event(const struct event *event)
{
    switch (event->type) {
    case EVENT_CLOSED: return statistics_tuple(event);
    case EVENT_DIGIT: return Py_BuildValue("(iIC)", event->type, event->handle, event->digit);
    case EVENT_SILENCE: return Py_BuildValue("(iIO)", event->type, event->handle, event->silent ? Py_True : Py_False);
    case EVENT_PLAYED: return played_tuple(event);
    case EVENT_RECORDED:
        return Py_BuildValue("(iILKO)", event->type, event->handle, (long long)event->recorded.samples,
                             (unsigned long long)event->recorded.bytes, event->recorded.truncated ? Py_True : Py_False);
    case EVENT_TRUNCATED: return Py_BuildValue("(iIi)", event->type, event->handle, event->error);
    case EVENT_TOTALS: return totals_tuple(event);
    }
    return NULL;
}
