/* SRTP as Python sees it: keys that become contexts.
 *
 * Called by module_remote.c.
 */
#define PY_SSIZE_T_CLEAN
#include "module.h"

static struct srtp_context *read_key(const char *suite, const uint8_t *key, Py_ssize_t length, bool sending)
{
    struct srtp_context *context = srtp_context_create(suite, key, (size_t)length, sending);
    if (!context)
        PyErr_Format(PyExc_ValueError, "no SRTP by %s with a key of %zd bytes%s", suite, length,
                     srtp_suite(0) ? "" : ": this build of the media core lacks libsrtp2");
    return context;
}

bool module_read_keys(const struct keys *keys, struct remote *remote)
{
    return !*keys->suite
           || ((remote->srtp_out = read_key(keys->suite, keys->send, keys->send_length, true))
               && (remote->srtp_in = read_key(keys->suite, keys->receive, keys->receive_length, false)));
}
