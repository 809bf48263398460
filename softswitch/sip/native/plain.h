/* What nearly every SIP message looks like, found in its bytes: lines, header fields, and the values of those headers
 * that the core itself reads. RFC 3261 7, 8.1.1, 20 and 25.1.
 *
 * Whatever is written less plainly (folded lines, quoted parameters, text beyond ASCII, a malformed value) is not
 * recognised here: `false`, and message.py reads it, which knows all of the grammar. So a rule that stands here may
 * be narrower than that of message.py, never wider. Nothing is allocated or changed; spans point into the message.
 */
#ifndef SOFTSWITCH_SIP_PLAIN_H
#define SOFTSWITCH_SIP_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAIN_FIELDS 64 /* header fields of one message */

struct span {
    const char *at;
    size_t size;
};

struct plain_field {
    struct span name, value; /* the value without white space around it */
};

struct plain_message {
    bool is_request;
    unsigned status; /* of a response */
    struct span method, uri, reason, body;
    unsigned count;
    struct plain_field fields[PLAIN_FIELDS];
};

struct plain_via {
    struct span transport, host; /* the host without brackets */
    int port;                    /* -1: none */
    struct span params;
};

struct plain_address {
    struct span display, uri, params;
};

/* To be called once before all else. */
void plain_prepare(void);

/* Start line, fields and all that follows the empty line; every line is printable ASCII. A Request-URI is a SIP URI
 * without escapes and headers. */
bool plain_split(struct span data, struct plain_message *to);

/* One Via value. */
bool plain_via(struct span text, struct plain_via *to);

/* A URI in <>, with or without a display name. */
bool plain_address(struct span text, struct plain_address *to);

/* `;name=value;flag` to the end, as plain_via and plain_address have found it: takes one parameter off the front, false
 * where none is left. value.at is NULL where there is no "=". */
bool plain_param(struct span *params, struct span *name, struct span *value);

/* A number of at most ten digits, and at most `largest`. */
bool plain_number(struct span text, uint32_t largest, uint32_t *to);

/* CSeq. */
bool plain_cseq(struct span text, uint32_t *number, struct span *method);

/* One word: a Call-ID. */
bool plain_word(struct span text);

/* A media type without parameters, in lower case. */
bool plain_media_type(struct span text);

bool plain_is(struct span text, const char *other);

#endif
