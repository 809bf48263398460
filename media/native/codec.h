/* What is spoken beside G.711, each codec by a library that a build may lack: one file for each, one table for all.
 *
 * Inside the core all audio is of 8 kHz and all times count its samples: a codec turns its payload into that and back.
 * States lie where they are told; nothing is allocated.
 */
#ifndef MEDIA_CODEC_H
#define MEDIA_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_DECODED 960 /* samples: 120 ms, the longest packet of Opus */
#define MAX_PAYLOAD 480 /* bytes that are made of one packet's audio */

/* What the far end asks of what it is sent: at most so many bit/s (0: no word of it), audio of lost packets in later ones,
 * packets of one size, next to nothing in pauses. */
struct tuning {
    uint32_t bitrate;
    bool fec, cbr, dtx;
};

struct codec {
    const char *name;     /* as SDP writes it */
    uint8_t scale;        /* of its RTP clock: units a sample */
    uint8_t packet_times; /* that it makes: bit n for 10 (n + 1) ms */
    size_t (*decoder_size)(void);
    size_t (*encoder_size)(void);
    void (*decoder_init)(void *decoder);
    void (*encoder_init)(void *encoder);
    void (*encoder_tune)(void *encoder, const struct tuning *tuning);
    /* Samples in a payload, not above 0 where it is none of this codec. */
    int (*samples)(const uint8_t *payload, size_t length);
    /* The same number with what they are, below 0 where the payload is damaged. */
    int (*decode)(void *decoder, const uint8_t *payload, size_t length, int16_t *samples);
    /* `count` samples for a lost packet, by the packet behind it where that is given. NULL: the codec has no such thing. */
    int (*conceal)(void *decoder, const uint8_t *next, size_t length, int16_t *samples, int count);
    /* Bytes made; 0: none. */
    size_t (*encode)(void *encoder, const int16_t *samples, int count, uint8_t *payload);
};

/* NULL: G.711. */
static inline uint8_t codec_scale(const struct codec *codec)
{
    return codec ? codec->scale : 1;
}

extern const struct codec codec_g722, codec_opus;

#endif
