/* The ciphers of SRTP, and what proves its packets, by OpenSSL, in the place of those that libsrtp was built with: RFC 3711
 * 4.1.1 and 4.2.1, RFC 7714.
 *
 * Debian's libsrtp has them of NSS, which allocates for each packet and looks its sessions up in lists that grow
 * with the number of calls (tests/bench/bench_packets.py tells what that costs). These know a context of their own and
 * nothing else. Called by srtp.c once; libsrtp tries each on its own known answers before it takes it.
 */
#include "srtp.h"

#ifdef HAVE_SRTP

#define OPENSSL_API_COMPAT 10101 /* SHA1_…: no other interface of it works without memory */

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <srtp2/auth.h>
#include <srtp2/cipher.h>
#include <srtp2/srtp.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 16
#define SALT 14 /* behind the key of counter mode (RFC 3711 4.1.1); that of GCM comes with the nonce */
#define GCM_SALT 12
#define GCM_TAG 16
#define SHA1_LENGTH 20

struct aes {
    srtp_cipher_t cipher; /* what libsrtp knows of it */
    EVP_CIPHER_CTX *context;
    const EVP_CIPHER *kind;
    size_t key;
    unsigned tag;
    uint8_t salt[BLOCK];
};

static srtp_err_status_t outcome(int result)
{
    return result == 1 ? srtp_err_status_ok : srtp_err_status_cipher_fail;
}

static srtp_err_status_t aes_dealloc(srtp_cipher_t *cipher)
{
    struct aes *aes = cipher->state;
    EVP_CIPHER_CTX_free(aes->context);
    OPENSSL_cleanse(aes, sizeof *aes);
    free(aes);
    return srtp_err_status_ok;
}

static srtp_err_status_t aes_alloc(srtp_cipher_t **made, const srtp_cipher_type_t *type, const EVP_CIPHER *kind,
                                   int length, size_t salt, int tag)
{
    size_t key = (size_t)EVP_CIPHER_get_key_length(kind);
    struct aes *aes = (size_t)length == key + salt ? calloc(1, sizeof *aes) : NULL;
    if (!aes)
        return length == (int)(key + salt) ? srtp_err_status_alloc_fail : srtp_err_status_bad_param;
    aes->cipher = (srtp_cipher_t){type, aes, length, (int)type->id};
    aes->context = EVP_CIPHER_CTX_new();
    aes->kind = kind;
    aes->key = key;
    aes->tag = (unsigned)tag;
    if (!aes->context) {
        aes_dealloc(&aes->cipher);
        return srtp_err_status_alloc_fail;
    }
    *made = &aes->cipher; /* libsrtp lets go of what it was given, also where that failed */
    return srtp_err_status_ok;
}

/* Counter mode: the counter begins at what the packet says, with the salt. */

static srtp_err_status_t counter_init(void *state, const uint8_t *key)
{
    struct aes *aes = state;
    memcpy(aes->salt, key + aes->key, SALT);
    return outcome(EVP_EncryptInit_ex(aes->context, aes->kind, NULL, key, NULL));
}

static srtp_err_status_t counter_set_iv(void *state, uint8_t *iv, srtp_cipher_direction_t direction)
{
    struct aes *aes = state;
    uint8_t counter[BLOCK];
    (void)direction; /* it is one and the same */
    for (int i = 0; i < BLOCK; i++)
        counter[i] = iv[i] ^ aes->salt[i];
    return outcome(EVP_EncryptInit_ex(aes->context, NULL, NULL, NULL, counter));
}

static srtp_err_status_t aes_update(void *state, uint8_t *buffer, unsigned *length)
{
    struct aes *aes = state;
    int made = 0;
    int result = EVP_CipherUpdate(aes->context, buffer, &made, buffer, (int)*length);
    *length = (unsigned)made;
    return outcome(result);
}

/* GCM */

static srtp_err_status_t gcm_init(void *state, const uint8_t *key)
{
    struct aes *aes = state;
    return outcome(EVP_EncryptInit_ex(aes->context, aes->kind, NULL, key, NULL));
}

static srtp_err_status_t gcm_set_iv(void *state, uint8_t *iv, srtp_cipher_direction_t direction)
{
    struct aes *aes = state;
    return outcome(EVP_CipherInit_ex(aes->context, NULL, NULL, NULL, iv, direction == srtp_direction_encrypt));
}

static srtp_err_status_t gcm_set_aad(void *state, const uint8_t *data, uint32_t length)
{
    struct aes *aes = state;
    int made;
    return length ? outcome(EVP_CipherUpdate(aes->context, NULL, &made, data, (int)length)) : srtp_err_status_ok;
}

static srtp_err_status_t gcm_get_tag(void *state, uint8_t *tag, uint32_t *length)
{
    struct aes *aes = state;
    int made;
    *length = aes->tag;
    if (EVP_EncryptFinal_ex(aes->context, tag, &made) != 1)
        return srtp_err_status_cipher_fail;
    return outcome(EVP_CIPHER_CTX_ctrl(aes->context, EVP_CTRL_AEAD_GET_TAG, (int)aes->tag, tag));
}

/* The tag stands behind the text. */
static srtp_err_status_t gcm_decrypt(void *state, uint8_t *buffer, unsigned *length)
{
    struct aes *aes = state;
    int made;
    if (*length < aes->tag)
        return srtp_err_status_bad_param;
    *length -= aes->tag;
    uint8_t *tag = buffer + *length;
    if (EVP_CIPHER_CTX_ctrl(aes->context, EVP_CTRL_AEAD_SET_TAG, (int)aes->tag, tag) != 1)
        return srtp_err_status_cipher_fail;
    srtp_err_status_t status = *length ? aes_update(state, buffer, length) : srtp_err_status_ok;
    if (status == srtp_err_status_ok && EVP_DecryptFinal_ex(aes->context, tag, &made) != 1)
        return srtp_err_status_auth_fail;
    return status;
}

/* HMAC-SHA1 (RFC 2104 2, 4): of the digests that begin with the key each packet takes a copy. OpenSSL's own copies take
 * memory.
 */

struct proof {
    srtp_auth_t auth; /* what libsrtp knows of it */
    SHA_CTX inner, outer, present;
};

static srtp_err_status_t proof_dealloc(srtp_auth_t *auth)
{
    struct proof *proof = auth->state;
    OPENSSL_cleanse(proof, sizeof *proof);
    free(proof);
    return srtp_err_status_ok;
}

static int digest_begin(SHA_CTX *digest, const uint8_t *key, int length, uint8_t pad)
{
    uint8_t block[SHA_CBLOCK];
    for (int i = 0; i < SHA_CBLOCK; i++)
        block[i] = (i < length ? key[i] : 0) ^ pad;
    int result = SHA1_Init(digest) == 1 && SHA1_Update(digest, block, sizeof block) == 1;
    OPENSSL_cleanse(block, sizeof block);
    return result;
}

static srtp_err_status_t proof_init(void *state, const uint8_t *key, int length)
{
    struct proof *proof = state;
    return outcome(digest_begin(&proof->inner, key, length, 0x36) && digest_begin(&proof->outer, key, length, 0x5c));
}

/* The next packet, with the same key. */
static srtp_err_status_t proof_start(void *state)
{
    struct proof *proof = state;
    proof->present = proof->inner;
    return srtp_err_status_ok;
}

static srtp_err_status_t proof_update(void *state, const uint8_t *data, int length)
{
    struct proof *proof = state;
    return outcome(SHA1_Update(&proof->present, data, (size_t)length));
}

static srtp_err_status_t proof_compute(void *state, const uint8_t *data, int length, int wanted, uint8_t *tag)
{
    struct proof *proof = state;
    SHA_CTX *digest = &proof->present;
    uint8_t whole[SHA1_LENGTH];
    if (SHA1_Update(digest, data, (size_t)length) != 1 || SHA1_Final(whole, digest) != 1)
        return srtp_err_status_auth_fail;
    *digest = proof->outer;
    if (SHA1_Update(digest, whole, sizeof whole) != 1 || SHA1_Final(whole, digest) != 1)
        return srtp_err_status_auth_fail;
    memcpy(tag, whole, (size_t)wanted);
    return srtp_err_status_ok;
}

static srtp_err_status_t proof_alloc(srtp_auth_t **made, int key, int tag);

/* Known answers: RFC 2202 3; NIST SP 800-38A F.5.1 and F.5.5; test case 14 of the GCM specification. */

static const uint8_t plain[BLOCK] = {0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96,
                                     0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
static uint8_t first_counter[BLOCK] = {0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7,
                                       0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff};
static const uint8_t key_128[16 + SALT] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                           0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
static const uint8_t known_128[BLOCK] = {0x87, 0x4d, 0x61, 0x91, 0xb6, 0x20, 0xe3, 0x26,
                                         0x1b, 0xef, 0x68, 0x64, 0x99, 0x0d, 0xb6, 0xce};
static const uint8_t key_256[32 + SALT] = {0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae,
                                           0xf0, 0x85, 0x7d, 0x77, 0x81, 0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61,
                                           0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4};
static const uint8_t known_256[BLOCK] = {0x60, 0x1e, 0xc3, 0x13, 0x77, 0x57, 0x89, 0xa5,
                                         0xb7, 0xa7, 0xf5, 0x04, 0xbb, 0xf3, 0xd2, 0x28};
static const uint8_t zeros[32 + GCM_SALT];
static uint8_t zero_nonce[BLOCK];
static const uint8_t known_gcm[BLOCK + GCM_TAG] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5,
                                                   0xd3, 0xba, 0xf3, 0x9d, 0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99,
                                                   0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
static const srtp_cipher_test_case_t
    test_128 = {sizeof key_128, key_128, first_counter, BLOCK, plain, BLOCK, known_128, 0, NULL, 0, NULL},
    test_256 = {sizeof key_256, key_256, first_counter, BLOCK, plain, BLOCK, known_256, 0, NULL, 0, NULL},
    test_gcm = {sizeof zeros, zeros, zero_nonce, BLOCK, zeros, sizeof known_gcm, known_gcm, 0, NULL, GCM_TAG, NULL};

static const uint8_t key_hmac[SHA1_LENGTH] = {11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11};
static const uint8_t known_hmac[SHA1_LENGTH] = {0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b,
                                                0xc0, 0xb6, 0xfb, 0x37, 0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00};
static const srtp_auth_test_case_t test_hmac = {
    SHA1_LENGTH, key_hmac, 8, (const uint8_t *)"Hi There", SHA1_LENGTH, known_hmac, NULL};
static const srtp_auth_type_t type_hmac = {proof_alloc, proof_dealloc, proof_init, proof_compute, proof_update, proof_start,
                                           "HMAC-SHA1 by OpenSSL", &test_hmac, SRTP_HMAC_SHA1};

static srtp_err_status_t proof_alloc(srtp_auth_t **made, int key, int tag)
{
    struct proof *proof = key <= SHA1_LENGTH && tag <= SHA1_LENGTH ? calloc(1, sizeof *proof) : NULL;
    if (!proof)
        return srtp_err_status_alloc_fail;
    proof->auth = (srtp_auth_t){&type_hmac, proof, tag, key, 0};
    *made = &proof->auth;
    return srtp_err_status_ok;
}

static srtp_err_status_t alloc_128(srtp_cipher_t **made, int length, int tag);
static srtp_err_status_t alloc_256(srtp_cipher_t **made, int length, int tag);
static srtp_err_status_t alloc_gcm(srtp_cipher_t **made, int length, int tag);

#define COUNTER(alloc, name, test, id)                                                                        \
    {alloc, aes_dealloc, counter_init, NULL, aes_update, aes_update, counter_set_iv, NULL, name, test, id}
static const srtp_cipher_type_t
    type_128 = COUNTER(alloc_128, "AES-128 counter mode by OpenSSL", &test_128, SRTP_AES_ICM_128),
    type_256 = COUNTER(alloc_256, "AES-256 counter mode by OpenSSL", &test_256, SRTP_AES_ICM_256),
    type_gcm = {alloc_gcm, aes_dealloc, gcm_init, gcm_set_aad, aes_update, gcm_decrypt, gcm_set_iv, gcm_get_tag,
                "AES-256 GCM by OpenSSL", &test_gcm, SRTP_AES_GCM_256};

static srtp_err_status_t alloc_128(srtp_cipher_t **made, int length, int tag)
{
    return aes_alloc(made, &type_128, EVP_aes_128_ctr(), length, SALT, tag);
}

static srtp_err_status_t alloc_256(srtp_cipher_t **made, int length, int tag)
{
    return aes_alloc(made, &type_256, EVP_aes_256_ctr(), length, SALT, tag);
}

static srtp_err_status_t alloc_gcm(srtp_cipher_t **made, int length, int tag)
{
    return aes_alloc(made, &type_gcm, EVP_aes_256_gcm(), length, GCM_SALT, tag);
}

bool srtp_ciphers_replace(void)
{
    return srtp_replace_auth_type(&type_hmac, type_hmac.id) == srtp_err_status_ok
           && srtp_replace_cipher_type(&type_128, type_128.id) == srtp_err_status_ok
           && srtp_replace_cipher_type(&type_256, type_256.id) == srtp_err_status_ok
           && srtp_replace_cipher_type(&type_gcm, type_gcm.id) == srtp_err_status_ok;
}

#endif
