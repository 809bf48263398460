/* Opus (RFC 6716, RFC 7587) by libopus, which itself converts between our 8 kHz and whatever the far end chose. */
#ifdef HAVE_OPUS
#include "codec.h"

#include <string.h>

#include <opus/opus.h>

#define RATE 8000
#define BITRATE 16000 /* RFC 7587 3.1.1 names 8 to 12 kbit/s for narrowband speech; the rest is for tones */
#define FEC_BITRATE 20000 /* below 18500 libopus sends none of it, however much loss it expects */
#define LEAST_BITRATE 6000
#define EXPECTED_LOSS 10 /* per cent: from here on libopus spends bits on FEC */
/* Of 0 to 10. The encoder works within the tick that all calls of a worker share, and on what has been through G.711:
   docs/media-performance.md has what each step costs. */
#define COMPLEXITY 5

static size_t decoder_size(void)
{
    return (size_t)opus_decoder_get_size(1);
}

static size_t encoder_size(void)
{
    return (size_t)opus_encoder_get_size(1);
}

static void decoder_init(void *decoder)
{
    opus_decoder_init(decoder, RATE, 1);
}

static void encoder_init(void *encoder)
{
    opus_encoder_init(encoder, RATE, 1, OPUS_APPLICATION_VOIP);
    opus_encoder_ctl(encoder, OPUS_SET_COMPLEXITY(COMPLEXITY));
    opus_encoder_ctl(encoder, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
}

static void encoder_tune(void *encoder, const struct tuning *tuning)
{
    uint32_t most = tuning->fec ? FEC_BITRATE : BITRATE;
    bool lower = tuning->bitrate >= LEAST_BITRATE && tuning->bitrate < most;
    opus_encoder_ctl(encoder, OPUS_SET_BITRATE((opus_int32)(lower ? tuning->bitrate : most)));
    opus_encoder_ctl(encoder, OPUS_SET_INBAND_FEC(tuning->fec));
    opus_encoder_ctl(encoder, OPUS_SET_PACKET_LOSS_PERC(tuning->fec ? EXPECTED_LOSS : 0));
    opus_encoder_ctl(encoder, OPUS_SET_VBR(!tuning->cbr));
    opus_encoder_ctl(encoder, OPUS_SET_DTX(tuning->dtx)); /* one byte, which keeps the line and the NAT's binding */
}

static int samples_in(const uint8_t *payload, size_t length)
{
    return opus_packet_get_nb_samples(payload, (opus_int32)length, RATE);
}

static int decode(void *decoder, const uint8_t *payload, size_t length, int16_t *samples)
{
    return opus_decode(decoder, payload, (opus_int32)length, samples, MAX_DECODED, 0);
}

static int conceal(void *decoder, const uint8_t *next, size_t length, int16_t *samples, int count)
{
    return opus_decode(decoder, next, (opus_int32)length, samples, count, next != NULL);
}

/* Packets last 2.5 to 60 ms in certain steps: what lies between is filled up with silence. */
static int frame_of(int count)
{
    static const int frames[] = {20, 40, 80, 160, 320, 480};
    int i = 0;
    while (frames[i] < count)
        i++;
    return frames[i];
}

static size_t encode(void *encoder, const int16_t *samples, int count, uint8_t *payload)
{
    int16_t filled[MAX_PAYLOAD];
    int frame = frame_of(count);
    if (frame != count) {
        memcpy(filled, samples, sizeof *samples * (size_t)count);
        memset(filled + count, 0, sizeof *samples * (size_t)(frame - count));
        samples = filled;
    }
    opus_int32 length = opus_encode(encoder, samples, frame, payload, MAX_PAYLOAD);
    return length > 0 ? (size_t)length : 0;
}

const struct codec codec_opus = {
    .name = "opus",
    .scale = 6,
    .packet_times = 0x2B, /* 10, 20, 40, 60 ms */
    .decoder_size = decoder_size,
    .encoder_size = encoder_size,
    .decoder_init = decoder_init,
    .encoder_init = encoder_init,
    .encoder_tune = encoder_tune,
    .samples = samples_in,
    .decode = decode,
    .conceal = conceal,
    .encode = encode,
};
#endif
