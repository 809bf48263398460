/* What the tests of codecs beside G.711 share: a phone that sends a tone by one, and how much of it arrives.
 *
 * Included by test_transcoding.c and test_opus.c, behind steps.h.
 */
#ifndef CODED_H
#define CODED_H

#include <math.h>

#define TONE 440.0
#define TYPE_IN 96  /* payload types of the codec, as ours and as the far end's */
#define TYPE_OUT 111

struct stream {
    const struct codec *codec;
    void *encoder, *decoder;
    uint32_t played; /* samples */
};

static void stream_open(struct stream *stream, const char *name)
{
    const struct codec *codec = codec_named(name);
    *stream = (struct stream){codec, malloc(codec->encoder_size()), malloc(codec->decoder_size()), 0};
    codec->encoder_init(stream->encoder);
    codec->encoder_tune(stream->encoder, &(struct tuning){.fec = true});
    codec->decoder_init(stream->decoder);
}

static void stream_close(struct stream *stream)
{
    free(stream->encoder);
    free(stream->decoder);
}

/* The next packet of a phone that sends a tone. */
static size_t stream_next(struct stream *stream, int count, uint8_t *payload)
{
    int16_t samples[MAX_FRAME];
    for (int i = 0; i < count; i++)
        samples[i] = (int16_t)(8000 * sin(2 * M_PI * TONE * (stream->played + (uint32_t)i) / 8000));
    stream->played += (uint32_t)count;
    return stream->codec->encode(stream->encoder, samples, count, payload);
}

/* How much of a second half (codecs have to settle) is the tone: 1 for all of its power. */
static double tone_share(const int16_t *samples, int count)
{
    double re = 0, im = 0, power = 0;
    for (int i = count / 2; i < count; i++) {
        re += samples[i] * cos(2 * M_PI * TONE * i / 8000);
        im += samples[i] * sin(2 * M_PI * TONE * i / 8000);
        power += (double)samples[i] * samples[i];
    }
    return power < count ? 0 : 2 * (re * re + im * im) / (count - count / 2) / power;
}

static double power(const int16_t *frame)
{
    double sum = 0;
    for (int i = 0; i < FRAME_SAMPLES; i++)
        sum += (double)frame[i] * frame[i];
    return sum;
}

static uint32_t open_with(uint32_t slot, const char *name, uint16_t frame, int event, int event_clock)
{
    uint32_t handle = open_endpoint(slot, PCMA, event);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = handle, .remote = remote_at(phone(slot), TYPE_OUT, event)};
    configure.remote.codec = codec_named(name);
    configure.remote.payload_type_in = TYPE_IN;
    configure.remote.event_scale = (uint8_t)(event_clock / 8000);
    configure.remote.frame = frame;
    CHECK(configure.remote.codec);
    worker_obey(&worker, &configure);
    return handle;
}

/* Packet `number` of the phone at endpoint 0, `count` samples long. */
static void speak(struct stream *stream, uint16_t number, int count)
{
    uint8_t payload[MAX_PAYLOAD];
    size_t length = stream_next(stream, count, payload);
    worker.now += count * SAMPLE_NS;
    give(0, TYPE_IN, number, (uint32_t)number * (uint32_t)count * stream->codec->scale, payload, length);
}

static void check_line(uint32_t first, uint32_t step)
{
    for (uint32_t i = first + 1; i < sent_count; i++) {
        CHECK((uint16_t)(sent_sequence(i) - sent_sequence(i - 1)) == 1);
        CHECK(sent_timestamp(i) - sent_timestamp(i - 1) == step);
    }
}

#endif
