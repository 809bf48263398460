/* softswitch.sip._plain: ordinary SIP messages as the objects of message.py and headers.py, parsed and validated.
 *
 * Called by plain.py. `learn` is told the classes once; `plain` makes what parse_message and validate would, with the
 * headers that the core reads already in Headers.known, or returns None: then those two have the word. It raises
 * nothing for what a message holds. The slots of the classes are written where they lie, as their own descriptors do.
 */
#include "words.h"

#include <structmember.h>

/* Headers that are looked into, by the marks of their names. */
enum { OTHER, VIA, FROM, TO, CALL_ID, CSEQ, MAX_FORWARDS, CONTACT, CONTENT_LENGTH, CONTENT_TYPE, MARKS };

static const char *const marked[MARKS] = {
    [VIA] = "Via",         [FROM] = "From",     [TO] = "To",
    [CALL_ID] = "Call-ID", [CSEQ] = "CSeq",     [MAX_FORWARDS] = "Max-Forwards",
    [CONTACT] = "Contact", [CONTENT_LENGTH] = "Content-Length", [CONTENT_TYPE] = "Content-Type",
};

/* A class with __slots__, and where these are in its objects. */
struct made {
    PyTypeObject *type;
    Py_ssize_t places[4];
};

static struct {
    bool ready;
    struct words names, words;
    struct made headers, request, response;
    PyObject *via, *name_addr, *cseq, *canonical_name, *rport;
} learned;

/* One message on its way: its fields' names, and where each header that is looked into stands first (-1: nowhere). */
struct reading {
    struct plain_message message;
    PyObject *names[PLAIN_FIELDS]; /* owned */
    int first[MARKS];
};

static PyObject *text_of(struct span span)
{
    PyObject *text = PyUnicode_New((Py_ssize_t)span.size, 127);
    if (text)
        memcpy(PyUnicode_1BYTE_DATA(text), span.at, span.size);
    return text;
}

static PyObject *word_of(struct span span)
{
    const struct word *word = words_find(&learned.words, span);
    if (!word)
        return text_of(span);
    Py_INCREF(word->meaning);
    return word->meaning;
}

/* Put a new reference into a dict; takes `value` over, which may be NULL. */
static bool put(PyObject *dict, PyObject *key, PyObject *value)
{
    bool done = value && PyDict_SetItem(dict, key, value) == 0;
    Py_XDECREF(value);
    return done;
}

/* Names of parameters in lower case; of a name that stands twice the first counts. */
static PyObject *param_name(struct span name)
{
    char lower[64];
    if (name.size > sizeof lower)
        return NULL;
    for (size_t i = 0; i < name.size; i++)
        lower[i] = (char)(name.at[i] >= 'A' && name.at[i] <= 'Z' ? name.at[i] | 0x20 : name.at[i]);
    return word_of((struct span){lower, name.size});
}

static PyObject *params_of(struct span params)
{
    struct span name, value;
    PyObject *made = PyDict_New();
    while (made && plain_param(&params, &name, &value)) {
        PyObject *key = param_name(name);
        PyObject *text = value.at ? text_of(value) : Py_NewRef(Py_None);
        if (!key || !text || !PyDict_SetDefault(made, key, text))
            Py_CLEAR(made);
        Py_XDECREF(key);
        Py_XDECREF(text);
    }
    return made;
}

/* Call `type` with `count` new references, which are given up; NULL where one of them is. */
static PyObject *make(PyObject *type, PyObject **arguments, size_t count)
{
    bool whole = true;
    for (size_t i = 0; i < count; i++)
        whole = whole && arguments[i];
    PyObject *made = whole ? PyObject_Vectorcall(type, arguments, count, NULL) : NULL;
    for (size_t i = 0; i < count; i++)
        Py_XDECREF(arguments[i]);
    return made;
}

/* Whether rport, if it has a value, is a port. */
static bool has_sound_rport(PyObject *params)
{
    PyObject *text = PyDict_GetItemWithError(params, learned.rport);
    uint32_t port;
    if (!text || text == Py_None)
        return !PyErr_Occurred();
    struct span span = {(const char *)PyUnicode_1BYTE_DATA(text), (size_t)PyUnicode_GET_LENGTH(text)};
    return !span.size || plain_number(span, UINT16_MAX, &port);
}

static PyObject *via_of(struct span text)
{
    struct plain_via via;
    if (!plain_via(text, &via))
        return NULL;
    PyObject *params = params_of(via.params);
    if (!params || !has_sound_rport(params)) {
        Py_XDECREF(params);
        return NULL;
    }
    PyObject *port = via.port < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(via.port);
    return make(learned.via, (PyObject *[]){word_of(via.transport), text_of(via.host), port, params}, 4);
}

static PyObject *address_of(struct span text)
{
    struct plain_address address;
    if (!plain_address(text, &address))
        return NULL;
    PyObject *parts[] = {text_of(address.display), text_of(address.uri), params_of(address.params)};
    return make(learned.name_addr, parts, 3);
}

static PyObject *cseq_of(struct span text, const struct plain_message *message)
{
    uint32_t number;
    struct span method;
    if (!plain_cseq(text, &number, &method))
        return NULL;
    if (message->is_request && (method.size != message->method.size || memcmp(method.at, message->method.at, method.size)))
        return NULL;
    return make(learned.cseq, (PyObject *[]){PyLong_FromUnsignedLong(number), word_of(method)}, 2);
}

/* The canonical name of a field and its mark; NULL where it can't be told, or is marked but spelled unusually. */
static PyObject *name_of(struct span name, unsigned *mark)
{
    const struct word *word = words_find(&learned.names, name);
    *mark = word ? word->mark : OTHER;
    if (word)
        return Py_NewRef(word->meaning);
    PyObject *written = text_of(name);
    PyObject *canonical = written ? PyObject_CallOneArg(learned.canonical_name, written) : NULL;
    Py_XDECREF(written);
    if (!canonical || !PyUnicode_CheckExact(canonical))
        return canonical;
    struct span text = {(const char *)PyUnicode_DATA(canonical), (size_t)PyUnicode_GET_LENGTH(canonical)};
    word = words_find(&learned.names, text);
    if (word && word->mark)
        Py_CLEAR(canonical);
    return canonical;
}

/* Names and places of all fields; false where one that stands once stands twice. */
static bool name_fields(struct reading *reading)
{
    for (int mark = 0; mark < MARKS; mark++)
        reading->first[mark] = -1;
    for (unsigned i = 0; i < reading->message.count; i++) {
        unsigned mark;
        if (!(reading->names[i] = name_of(reading->message.fields[i].name, &mark)))
            return false;
        if (reading->first[mark] < 0)
            reading->first[mark] = (int)i;
        else if (mark && mark != VIA && mark != CONTACT && mark != CONTENT_TYPE)
            return false;
    }
    return true;
}

static struct span value_of(const struct reading *reading, int mark)
{
    return reading->message.fields[reading->first[mark]].value;
}

/* The body, cut to Content-Length. */
static PyObject *body_of(const struct reading *reading)
{
    struct span body = reading->message.body;
    uint32_t length = UINT32_MAX;
    if (body.size > INT32_MAX)
        return NULL;
    if (reading->first[CONTENT_LENGTH] >= 0 && !plain_number(value_of(reading, CONTENT_LENGTH), (uint32_t)body.size, &length))
        return NULL;
    return PyBytes_FromStringAndSize(body.at, (Py_ssize_t)(length < body.size ? length : body.size));
}

/* What validate reads, and Contact and Content-Type where they are plain: these two nobody may ever ask for. */
static bool read_into(PyObject *known, const struct reading *reading)
{
    const struct plain_message *message = &reading->message;
    const int *first = reading->first;
    for (int mark = VIA; mark <= CSEQ; mark++) {
        if (first[mark] < 0)
            return false;
    }
    PyObject *const *names = reading->names;
    struct span call_id = value_of(reading, CALL_ID);
    if (!plain_word(call_id) || !put(known, names[first[CALL_ID]], text_of(call_id)) ||
        !put(known, names[first[VIA]], via_of(value_of(reading, VIA))) ||
        !put(known, names[first[FROM]], address_of(value_of(reading, FROM))) ||
        !put(known, names[first[TO]], address_of(value_of(reading, TO))) ||
        !put(known, names[first[CSEQ]], cseq_of(value_of(reading, CSEQ), message)))
        return false;
    uint32_t hops;
    if (first[MAX_FORWARDS] >= 0 && (!plain_number(value_of(reading, MAX_FORWARDS), UINT8_MAX, &hops) ||
                                     !put(known, names[first[MAX_FORWARDS]], PyLong_FromUnsignedLong(hops))))
        return false;
    struct plain_address ignored;
    if (first[CONTACT] >= 0 && plain_address(value_of(reading, CONTACT), &ignored) &&
        !put(known, names[first[CONTACT]], address_of(value_of(reading, CONTACT))))
        return false;
    return first[CONTENT_TYPE] < 0 || !plain_media_type(value_of(reading, CONTENT_TYPE)) ||
           put(known, names[first[CONTENT_TYPE]], word_of(value_of(reading, CONTENT_TYPE)));
}

/* A new object of the class with its slots filled; takes the values over, NULL where one of them is. */
static PyObject *fill(const struct made *class, PyObject **values, size_t count)
{
    PyObject *made = class->type->tp_alloc(class->type, 0);
    for (size_t i = 0; i < count; i++) {
        if (!values[i])
            Py_CLEAR(made);
    }
    for (size_t i = 0; i < count; i++) {
        if (made)
            *(PyObject **)((char *)made + class->places[i]) = values[i];
        else
            Py_XDECREF(values[i]);
    }
    return made;
}

/* (name, value) of every field but Content-Length in wire order, and by name the first of each. */
static bool list_fields(const struct reading *reading, PyObject *pairs, PyObject *texts)
{
    Py_ssize_t place = 0;
    for (int i = 0; i < (int)reading->message.count; i++) {
        if (i == reading->first[CONTENT_LENGTH])
            continue;
        PyObject *pair = PyTuple_New(2), *value = text_of(reading->message.fields[i].value);
        if (!pair || !value || !PyDict_SetDefault(texts, reading->names[i], value)) {
            Py_XDECREF(pair);
            Py_XDECREF(value);
            return false;
        }
        PyTuple_SET_ITEM(pair, 0, Py_NewRef(reading->names[i]));
        PyTuple_SET_ITEM(pair, 1, value);
        PyList_SET_ITEM(pairs, place++, pair);
    }
    return true;
}

static PyObject *headers_of(const struct reading *reading)
{
    PyObject *pairs = PyList_New((Py_ssize_t)reading->message.count - (reading->first[CONTENT_LENGTH] >= 0));
    PyObject *texts = PyDict_New(), *known = PyDict_New();
    if (pairs && texts && known && read_into(known, reading) && list_fields(reading, pairs, texts))
        return fill(&learned.headers, (PyObject *[]){pairs, texts, known}, 3);
    Py_XDECREF(pairs);
    Py_XDECREF(texts);
    Py_XDECREF(known);
    return NULL;
}

static PyObject *message_of(const struct reading *reading)
{
    const struct plain_message *message = &reading->message;
    PyObject *headers = headers_of(reading);
    if (!headers)
        return NULL;
    PyObject *body = body_of(reading);
    if (message->is_request)
        return fill(&learned.request, (PyObject *[]){word_of(message->method), text_of(message->uri), headers, body}, 4);
    PyObject *status = PyLong_FromUnsignedLong(message->status);
    return fill(&learned.response, (PyObject *[]){status, word_of(message->reason), headers, body}, 4);
}

PyDoc_STRVAR(plain_doc, "plain(data, /)\n--\n\nThe message, parsed and validated, or None where it is not plain.");

static PyObject *plain(PyObject *module, PyObject *data)
{
    (void)module;
    struct reading reading;
    if (!learned.ready || !PyBytes_Check(data) ||
        !plain_split((struct span){PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data)}, &reading.message))
        Py_RETURN_NONE;
    memset(reading.names, 0, reading.message.count * sizeof *reading.names);
    PyObject *made = name_fields(&reading) ? message_of(&reading) : NULL;
    for (unsigned i = 0; i < reading.message.count; i++)
        Py_XDECREF(reading.names[i]);
    if (made)
        return made;
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))
        return NULL; /* what a signal's handler raised in canonical_name */
    PyErr_Clear();
    Py_RETURN_NONE;
}

/* Where the slots lie; false, with an exception set, where the class has not these. */
static bool learn_class(struct made *to, PyObject *type, const char *const *slots)
{
    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "expected a class");
        return false;
    }
    for (int i = 0; slots[i]; i++) {
        PyObject *descriptor = PyObject_GetAttrString(type, slots[i]);
        if (!descriptor)
            return false;
        bool is_slot = Py_IS_TYPE(descriptor, &PyMemberDescr_Type) &&
                       ((PyMemberDescrObject *)descriptor)->d_member->type == T_OBJECT_EX;
        if (is_slot)
            to->places[i] = ((PyMemberDescrObject *)descriptor)->d_member->offset;
        else
            PyErr_Format(PyExc_TypeError, "%s is no slot", slots[i]);
        Py_DECREF(descriptor);
        if (!is_slot)
            return false;
    }
    to->type = (PyTypeObject *)type;
    return true;
}

static void replace_class(struct made *old, const struct made *new)
{
    PyTypeObject *before = old->type;
    Py_INCREF(new->type);
    *old = *new;
    Py_XDECREF(before);
}

static bool learn_names(PyObject *names)
{
    PyObject *name, *canonical;
    for (Py_ssize_t at = 0; PyDict_Next(names, &at, &name, &canonical);) {
        unsigned mark = 0;
        for (unsigned one = 1; one < MARKS; one++) {
            if (PyUnicode_Check(canonical) && !PyUnicode_CompareWithASCIIString(canonical, marked[one]))
                mark = one;
        }
        if (!words_put(&learned.names, name, canonical, mark))
            return false;
    }
    return true;
}

static bool learn_words(PyObject *words)
{
    PyObject *iterator = PyObject_GetIter(words), *word;
    while (iterator && (word = PyIter_Next(iterator))) {
        bool put = words_put(&learned.words, word, word, OTHER);
        Py_DECREF(word);
        if (!put)
            break;
    }
    Py_XDECREF(iterator);
    return !PyErr_Occurred();
}

PyDoc_STRVAR(learn_doc,
             "learn(headers, request, response, via, name_addr, cseq, canonical_name, names, words, /)\n--\n\n"
             "The classes to make, how a name is written that is none of `names` (usual spelling: canonical), and\n"
             "words that often stand in messages, to be shared.");

static PyObject *learn(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *headers, *request, *response, *via, *name_addr, *cseq, *canonical_name, *names, *words;
    if (!PyArg_ParseTuple(arguments, "OOOOOOOO!O:learn", &headers, &request, &response, &via, &name_addr, &cseq,
                          &canonical_name, &PyDict_Type, &names, &words))
        return NULL;
    struct made classes[3] = {0};
    learned.ready = false;
    words_clear(&learned.names);
    words_clear(&learned.words);
    if (!learn_class(&classes[0], headers, (const char *[]){"_pairs", "_texts", "known", NULL}) ||
        !learn_class(&classes[1], request, (const char *[]){"method", "uri", "headers", "body", NULL}) ||
        !learn_class(&classes[2], response, (const char *[]){"status", "reason", "headers", "body", NULL}) ||
        !learn_names(names) || !learn_words(words))
        return NULL;
    replace_class(&learned.headers, &classes[0]);
    replace_class(&learned.request, &classes[1]);
    replace_class(&learned.response, &classes[2]);
    Py_XSETREF(learned.via, Py_NewRef(via));
    Py_XSETREF(learned.name_addr, Py_NewRef(name_addr));
    Py_XSETREF(learned.cseq, Py_NewRef(cseq));
    Py_XSETREF(learned.canonical_name, Py_NewRef(canonical_name));
    learned.ready = true;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"plain", plain, METH_O, plain_doc},
    {"learn", learn, METH_VARARGS, learn_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "softswitch.sip._plain", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__plain(void)
{
    plain_prepare();
    if (!learned.rport && !(learned.rport = PyUnicode_InternFromString("rport")))
        return NULL;
    return PyModule_Create(&module);
}
