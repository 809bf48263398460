/* SRTP and SRTCP by libsrtp 2: RFC 3711, RFC 4568 6.2 (what a suite stands for), RFC 7714.
 *
 * A context learns an SSRC with its first packet, once that is authentic, and knows STREAMS of them at the most: who
 * has the key and changes its SSRC for ever makes nothing grow. A new SSRC takes memory, a packet of a known one none
 * of ours (what the cryptographic library below libsrtp does is its affair).
 */
#include "srtp.h"

#ifdef HAVE_SRTP

#include <srtp2/srtp.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_KEY (44 + SRTP_MAX_MKI_LEN) /* master key, salt, MKI */
#define STREAMS 8
#define WINDOW 128 /* packets that may overtake one */
#define RTP_LEAST 12
#define RTCP_LEAST 12 /* with the index behind it */

typedef void (*policy_setter)(srtp_crypto_policy_t *policy);

struct suite {
    const char *name;
    size_t key;
    policy_setter rtp, rtcp;
};

/* The short tag is for RTP alone: RTCP keeps 80 bits (RFC 4568 6.2.2). */
static const struct suite suites[] = {
    {"AEAD_AES_256_GCM", 44, srtp_crypto_policy_set_aes_gcm_256_16_auth, srtp_crypto_policy_set_aes_gcm_256_16_auth},
    {"AES_CM_128_HMAC_SHA1_80", 30, srtp_crypto_policy_set_rtp_default, srtp_crypto_policy_set_rtcp_default},
    {"AES_CM_128_HMAC_SHA1_32", 30, srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32, srtp_crypto_policy_set_rtcp_default},
};

#define SUITES ((int)(sizeof suites / sizeof *suites))

struct srtp_context {
    srtp_t session;
    const struct suite *suite;
    size_t behind[2]; /* bytes behind RTP, RTCP: tag and MKI */
    size_t length; /* of `key` */
    uint32_t known[STREAMS]; /* SSRCs as they stand in packets, the newest first */
    uint32_t count;
    uint8_t key[LONGEST_KEY];
};

static const char *available[SUITES + 1];

void srtp_set_up(void)
{
    static const uint8_t any_key[LONGEST_KEY];
    int count = 0;
    if (available[0] || srtp_init() != srtp_err_status_ok)
        return;
    for (int i = 0; i < SUITES; i++) { /* AES-GCM is not in every build of libsrtp */
        struct srtp_context *context = srtp_context_create(suites[i].name, any_key, suites[i].key, true);
        if (context)
            available[count++] = suites[i].name;
        srtp_context_free(context);
    }
}

const char *srtp_suite(int index)
{
    return available[index];
}

struct srtp_context *srtp_context_create(const char *suite, const uint8_t *key, size_t length, bool sending)
{
    const struct suite *found = NULL;
    for (int i = 0; i < SUITES; i++)
        if (!strcmp(suites[i].name, suite))
            found = &suites[i];
    /* What we send bears no MKI. */
    if (found && (length < found->key || length > found->key + (sending ? 0 : SRTP_MAX_MKI_LEN)))
        found = NULL;
    struct srtp_context *context = found ? calloc(1, sizeof *context) : NULL;
    if (!context)
        return NULL;
    context->suite = found;
    context->length = length;
    memcpy(context->key, key, length);
    size_t mki = length - found->key;
    srtp_master_key_t master = {context->key, context->key + found->key, (unsigned)mki}, *masters[] = {&master};
    srtp_policy_t policy = {.ssrc.type = sending ? ssrc_any_outbound : ssrc_any_inbound, .window_size = WINDOW};
    if (mki) {
        policy.keys = masters;
        policy.num_master_keys = 1;
    } else {
        policy.key = context->key;
    }
    found->rtp(&policy.rtp);
    found->rtcp(&policy.rtcp);
    context->behind[0] = (size_t)policy.rtp.auth_tag_len + mki;
    context->behind[1] = (size_t)policy.rtcp.auth_tag_len + mki;
    if (srtp_create(&context->session, &policy) == srtp_err_status_ok)
        return context;
    context->session = NULL;
    srtp_context_free(context);
    return NULL;
}

void srtp_context_free(struct srtp_context *context)
{
    if (!context)
        return;
    if (context->session)
        srtp_dealloc(context->session);
    explicit_bzero(context, sizeof *context);
    free(context);
}

bool srtp_context_same(const struct srtp_context *a, const struct srtp_context *b)
{
    return a->suite == b->suite && a->length == b->length && !memcmp(a->key, b->key, a->length);
}

/* An authentic packet bore this SSRC: where there are too many, the one that was silent longest makes room. */
static void srtp_learn(struct srtp_context *context, const uint8_t *place)
{
    uint32_t ssrc, index = 0;
    memcpy(&ssrc, place, sizeof ssrc);
    while (index < context->count && context->known[index] != ssrc)
        index++;
    if (index == STREAMS)
        srtp_remove_stream(context->session, context->known[--index]);
    else if (index == context->count)
        context->count++;
    memmove(context->known + 1, context->known, index * sizeof ssrc);
    context->known[0] = ssrc;
}

enum srtp_outcome srtp_open(struct srtp_context *context, bool rtcp, uint8_t *packet, size_t *length)
{
    if (*length < (rtcp ? RTCP_LEAST : RTP_LEAST) + context->behind[rtcp])
        return SRTP_FORGED;
    int size = (int)*length;
    unsigned mki = context->length > context->suite->key;
    srtp_err_status_t status =
        (rtcp ? srtp_unprotect_rtcp_mki : srtp_unprotect_mki)(context->session, packet, &size, mki);
    if (status == srtp_err_status_replay_fail || status == srtp_err_status_replay_old)
        return SRTP_REPLAYED;
    if (status != srtp_err_status_ok)
        return SRTP_FORGED;
    *length = (size_t)size;
    srtp_learn(context, packet + (rtcp ? 4 : 8));
    return SRTP_TAKEN;
}

bool srtp_seal(struct srtp_context *context, bool rtcp, uint8_t *packet, size_t *length)
{
    int size = (int)*length;
    if ((rtcp ? srtp_protect_rtcp : srtp_protect)(context->session, packet, &size) != srtp_err_status_ok)
        return false;
    *length = (size_t)size;
    srtp_learn(context, packet + (rtcp ? 4 : 8));
    return true;
}

#else

void srtp_set_up(void)
{
}

const char *srtp_suite(int index)
{
    (void)index;
    return NULL;
}

struct srtp_context *srtp_context_create(const char *suite, const uint8_t *key, size_t length, bool sending)
{
    (void)suite, (void)key, (void)length, (void)sending;
    return NULL;
}

/* There is none, so nobody comes here with one. */

void srtp_context_free(struct srtp_context *context)
{
    (void)context;
}

bool srtp_context_same(const struct srtp_context *a, const struct srtp_context *b)
{
    return a == b;
}

enum srtp_outcome srtp_open(struct srtp_context *context, bool rtcp, uint8_t *packet, size_t *length)
{
    (void)context, (void)rtcp, (void)packet, (void)length;
    return SRTP_FORGED;
}

bool srtp_seal(struct srtp_context *context, bool rtcp, uint8_t *packet, size_t *length)
{
    (void)context, (void)rtcp, (void)packet, (void)length;
    return false;
}

#endif
