/* RFC 3550 5.1: reading and writing RTP headers, never past the end of what was received. */
#ifndef MEDIA_RTP_H
#define MEDIA_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_HEADER 12
#define PCMU 0
#define PCMA 8
#define COMFORT_NOISE 13

struct codec;

struct rtp {
    uint8_t *payload;
    size_t length;
    const struct codec *codec; /* NULL: G.711 */
    uint32_t timestamp;
    uint32_t ssrc;
    uint16_t sequence;
    uint16_t samples; /* of audio */
    uint8_t payload_type;
    bool marker;
    bool made; /* `payload` lies in no packet */
};

static inline uint16_t read16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t read32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void write16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void write32(uint8_t *p, uint32_t value)
{
    write16(p, (uint16_t)(value >> 16));
    write16(p + 2, (uint16_t)value);
}

/* False: not RTP version 2 or its counts point past the end. */
bool rtp_parse(struct rtp *rtp, uint8_t *data, size_t length);

static inline void rtp_write(uint8_t *p, bool marker, uint8_t type, uint16_t sequence, uint32_t timestamp, uint32_t ssrc)
{
    p[0] = 0x80;
    p[1] = (uint8_t)((marker ? 0x80 : 0) | type);
    write16(p + 2, sequence);
    write32(p + 4, timestamp);
    write32(p + 8, ssrc);
}

#endif
