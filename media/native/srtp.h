/* SRTP (RFC 3711, RFC 7714): what protects one direction of one stream of packets.
 *
 * Opaque: srtp.c alone knows libsrtp. Without it (no HAVE_SRTP) there are no suites and no context can be made.
 */
#ifndef MEDIA_SRTP_H
#define MEDIA_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SRTP_ROOM 32 /* bytes that protection may add behind a packet */

/* FORGED: not by who has the key, or not whole. REPLAYED: it came before, or is too old to tell. */
enum srtp_outcome { SRTP_TAKEN, SRTP_FORGED, SRTP_REPLAYED };

struct srtp_context;

/* Once, before any thread. */
void srtp_set_up(void);
/* srtp_ciphers.c: libsrtp works with OpenSSL's ciphers from now on; false: one of them does not give what it must. */
bool srtp_ciphers_replace(void);
/* The suites that can be had, by their names in RFC 4568 and RFC 7714; NULL behind the last. */
const char *srtp_suite(int index);
/* `key` is the master key, its salt and, if packets that come bear one, the MKI. NULL: no such suite, not a key of its
 * length, or no memory. */
struct srtp_context *srtp_context_create(const char *suite, const uint8_t *key, size_t length, bool sending);
void srtp_context_free(struct srtp_context *context);
/* Of one suite, with one key. */
bool srtp_context_same(const struct srtp_context *a, const struct srtp_context *b);
/* In place; `length` becomes that of the plain packet. */
enum srtp_outcome srtp_open(struct srtp_context *context, bool rtcp, uint8_t *packet, size_t *length);
/* In place, with SRTP_ROOM behind it; false: it must not go out (its number was used before). */
bool srtp_seal(struct srtp_context *context, bool rtcp, uint8_t *packet, size_t *length);

#endif
