/* What the tests of SRTP share: keys, an endpoint that has them, and a phone that seals its packets by libsrtp.
 *
 * Included by test_srtp.c and test_srtp_under_way.c, behind steps.h.
 */
#ifndef SECURED_H
#define SECURED_H

#define CM "AES_CM_128_HMAC_SHA1_80"
#define GCM "AEAD_AES_256_GCM"
#define TAG 10

static const uint8_t key_a[44] = {0xe1, 0xf9, 0x7a, 0x0d, 0x3e, 0x01, 0x8b, 0xe0, 0xd6, 0x4f, 0xa3, 0x2c, 0x06, 0xde, 0x41,
                                  0x39, 0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6};
static const uint8_t key_b[44] = {2}, key_c[44] = {3};
static const uint8_t voice[FRAME_SAMPLES] = {0x55, 1, 2, 3};

static const char *suite = CM;
#define key_length() (strcmp(suite, GCM) ? 30u : 44u)
static uint32_t a, b;

static struct srtp_context *context(const uint8_t *key, bool sending)
{
    struct srtp_context *made = srtp_context_create(suite, key, key_length(), sending);
    CHECK(made);
    return made;
}

static void configure(uint32_t handle, uint32_t slot, const uint8_t *in, const uint8_t *out, bool nat)
{
    struct command command = {.type = COMMAND_CONFIGURE, .handle = handle};
    command.remote = remote_at(phone(slot), PCMA, 101);
    command.remote.announced.nat = nat;
    command.remote.srtp_in = in ? context(in, false) : NULL;
    command.remote.srtp_out = out ? context(out, true) : NULL;
    worker_obey(&worker, &command);
}

/* Endpoint 0 has SRTP with key A from its phone and B to it, endpoint 1 nothing of it. */
static void start_talk(void)
{
    start();
    join(a = open_endpoint(0, PCMA, 101), b = open_endpoint(1, PCMA, 101));
    configure(a, 0, key_a, key_b, false);
}

static void receive(uint32_t slot, bool rtcp, union address from, const uint8_t *packet, size_t length)
{
    uint8_t *whole = malloc(length + SRTP_ROOM);
    memcpy(whole, packet, length);
    endpoint_receive(&worker, slot, rtcp, whole, length, &from);
    free(whole);
}

static size_t sealed(struct srtp_context *phone_out, uint8_t *packet, uint16_t sequence, uint32_t ssrc)
{
    size_t length = RTP_HEADER + sizeof voice;
    rtp_write(packet, false, PCMA, sequence, 160u * sequence, ssrc);
    memcpy(packet + RTP_HEADER, voice, sizeof voice);
    CHECK(srtp_seal(phone_out, false, packet, &length));
    return length;
}

static void say(struct srtp_context *phone_out, uint16_t sequence, uint32_t ssrc)
{
    uint8_t packet[MAX_PACKET];
    size_t length = sealed(phone_out, packet, sequence, ssrc);
    worker.now += FRAME_NS;
    receive(0, false, phone(0), packet, length);
}

static const struct drops *drops(void)
{
    return &worker.endpoints[0].drops;
}

#endif
