/* ITU-T G.722 at 64 kbit/s by spandsp, its lower band only: what of it 8 kHz can hold.
 *
 * RFC 3551 4.5.2: the RTP clock is that of 8 kHz though the codec samples at 16, so a byte is a sample of ours.
 */
#ifdef HAVE_G722
#include "codec.h"

#include <spandsp/telephony.h>

#include <spandsp/g722.h>
#include <spandsp/private/g722.h>

#define BITRATE 64000

static size_t decoder_size(void)
{
    return sizeof(g722_decode_state_t);
}

static size_t encoder_size(void)
{
    return sizeof(g722_encode_state_t);
}

static void decoder_init(void *decoder)
{
    g722_decode_init(decoder, BITRATE, G722_SAMPLE_RATE_8000);
}

static void encoder_init(void *encoder)
{
    g722_encode_init(encoder, BITRATE, G722_SAMPLE_RATE_8000);
}

static void encoder_tune(void *encoder, const struct tuning *tuning)
{
    (void)encoder, (void)tuning; /* there is nothing to choose */
}

static int samples_in(const uint8_t *payload, size_t length)
{
    (void)payload;
    return length <= MAX_DECODED ? (int)length : 0;
}

static int decode(void *decoder, const uint8_t *payload, size_t length, int16_t *samples)
{
    return g722_decode(decoder, samples, payload, (int)length);
}

static size_t encode(void *encoder, const int16_t *samples, int count, uint8_t *payload)
{
    return (size_t)g722_encode(encoder, payload, samples, count);
}

const struct codec codec_g722 = {
    .name = "G722",
    .scale = 1,
    .packet_times = 0x3F,
    .decoder_size = decoder_size,
    .encoder_size = encoder_size,
    .decoder_init = decoder_init,
    .encoder_init = encoder_init,
    .encoder_tune = encoder_tune,
    .samples = samples_in,
    .decode = decode,
    .encode = encode,
};
#endif
