/* SRTP and SRTCP by libsrtp 2: RFC 3711, RFC 4568 6.2 (what a suite stands for), RFC 7714.
 *
 * A context learns an SSRC with its first packet, once that is authentic, and knows STREAMS of them at the most: who
 * has the key and changes its SSRC for ever makes nothing grow. A new SSRC takes memory, a packet of a known one
 * none.
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
#define LONGEST_SOUGHT 2048
#define SOUGHT_AT_ONCE 4 /* ROCs that one packet is tried with, so that forged ones cost little */
#define SOUGHT_ROCS 1024 /* fifteen days of 50 packets a second */

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
    bool heard; /* an authentic packet of RTP */
    bool seeks; /* there is a stream for `sought`, which nothing authentic came from */
    uint32_t sought; /* SSRC as it stands in packets */
    uint32_t rocs;   /* tried so far */
    uint8_t key[LONGEST_KEY];
};

static const char *available[SUITES + 1];

void srtp_set_up(void)
{
    static const uint8_t any_key[LONGEST_KEY];
    int count = 0;
    if (available[0] || srtp_init() != srtp_err_status_ok || !srtp_ciphers_replace())
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

/* What libsrtp is told of a stream; the policy points into the rest. */
struct terms {
    srtp_policy_t policy;
    srtp_master_key_t master, *masters[1];
};

static void terms_write(struct terms *terms, struct srtp_context *context, srtp_ssrc_t ssrc)
{
    const struct suite *suite = context->suite;
    size_t mki = context->length - suite->key;
    *terms = (struct terms){.policy = {.ssrc = ssrc, .window_size = WINDOW}};
    terms->master = (srtp_master_key_t){context->key, context->key + suite->key, (unsigned)mki};
    terms->masters[0] = &terms->master;
    if (mki) {
        terms->policy.keys = terms->masters;
        terms->policy.num_master_keys = 1;
    } else {
        terms->policy.key = context->key;
    }
    suite->rtp(&terms->policy.rtp);
    suite->rtcp(&terms->policy.rtcp);
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
    struct terms terms;
    terms_write(&terms, context, (srtp_ssrc_t){.type = sending ? ssrc_any_outbound : ssrc_any_inbound});
    context->behind[0] = (size_t)terms.policy.rtp.auth_tag_len + length - found->key;
    context->behind[1] = (size_t)terms.policy.rtcp.auth_tag_len + length - found->key;
    if (srtp_create(&context->session, &terms.policy) == srtp_err_status_ok)
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
    context->seeks &= context->sought != ssrc;
}

static srtp_err_status_t srtp_unprotect_one(struct srtp_context *context, bool rtcp, uint8_t *packet, size_t *length)
{
    int size = (int)*length;
    unsigned mki = context->length > context->suite->key;
    srtp_err_status_t status =
        (rtcp ? srtp_unprotect_rtcp_mki : srtp_unprotect_mki)(context->session, packet, &size, mki);
    if (status == srtp_err_status_ok)
        *length = (size_t)size;
    return status;
}

/* A stream whose ROC can be set, in the place of the last one that nothing authentic came from. */
static bool srtp_seek(struct srtp_context *context, const uint8_t *packet, uint32_t roc)
{
    uint32_t ssrc = (uint32_t)packet[8] << 24 | (uint32_t)packet[9] << 16 | (uint32_t)packet[10] << 8 | packet[11];
    if (srtp_set_stream_roc(context->session, ssrc, roc) == srtp_err_status_ok)
        return true;
    if (context->seeks)
        srtp_remove_stream(context->session, context->sought);
    struct terms terms;
    terms_write(&terms, context, (srtp_ssrc_t){ssrc_specific, ssrc});
    context->seeks = srtp_add_stream(context->session, &terms.policy) == srtp_err_status_ok;
    memcpy(&context->sought, packet + 8, sizeof context->sought);
    return context->seeks && srtp_set_stream_roc(context->session, ssrc, roc) == srtp_err_status_ok;
}

/* `packet` as it came: who deciphers before it knows may have spoilt what it was given. */
static srtp_err_status_t srtp_try_rocs(struct srtp_context *context, const uint8_t *packet, uint8_t *plain, size_t *length)
{
    srtp_err_status_t status = srtp_err_status_auth_fail;
    for (int i = 0; i < SOUGHT_AT_ONCE && status != srtp_err_status_ok; i++) {
        if (!srtp_seek(context, packet, 1 + context->rocs++ % SOUGHT_ROCS))
            return status;
        memcpy(plain, packet, *length);
        status = srtp_unprotect_one(context, false, plain, length);
    }
    if (status != srtp_err_status_ok)
        srtp_seek(context, packet, 0);
    return status;
}

/* The first of RTP that are authentic. */
static srtp_err_status_t srtp_unprotect_first(struct srtp_context *context, uint8_t *packet, size_t *length)
{
    uint8_t copy[LONGEST_SOUGHT];
    size_t size = *length;
    bool fits = size <= sizeof copy;
    memcpy(copy, packet, fits ? size : 0);
    srtp_err_status_t status = srtp_unprotect_one(context, false, packet, length);
    if (status == srtp_err_status_auth_fail && fits)
        status = srtp_try_rocs(context, copy, packet, length);
    context->heard = status == srtp_err_status_ok;
    return status;
}

enum srtp_outcome srtp_open(struct srtp_context *context, bool rtcp, uint8_t *packet, size_t *length)
{
    if (*length < (rtcp ? RTCP_LEAST : RTP_LEAST) + context->behind[rtcp])
        return SRTP_FORGED;
    srtp_err_status_t status = rtcp || context->heard ? srtp_unprotect_one(context, rtcp, packet, length)
                                                      : srtp_unprotect_first(context, packet, length);
    if (status == srtp_err_status_replay_fail || status == srtp_err_status_replay_old)
        return SRTP_REPLAYED;
    if (status != srtp_err_status_ok)
        return SRTP_FORGED;
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
