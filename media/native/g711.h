/* ITU-T G.711 as tables. Filled once by g711_init(); read-only afterwards. */
#ifndef MEDIA_G711_H
#define MEDIA_G711_H

#include <stddef.h>
#include <stdint.h>

#define ALAW_SILENCE 0xD5

extern int16_t alaw_linear[256], ulaw_linear[256];
extern int16_t alaw_added[256]; /* what a code adds to a mix: nothing where it is the quietest of either sign */
extern uint8_t alaw_to_ulaw[256];
extern uint8_t ulaw_to_alaw[256];
extern uint8_t linear_alaw[8192]; /* index: 13 bit two's complement */

void g711_init(void);

static inline uint8_t alaw_encode(int sample)
{
    if (sample > 32767)
        sample = 32767;
    else if (sample < -32768)
        sample = -32768;
    return linear_alaw[(sample >> 3) & 8191];
}

/* A sum often lies on the border of two codes: it is the quieter one, for else every mix had an offset. */
static inline uint8_t alaw_sum(int sum)
{
    return alaw_encode(sum - (sum > 0));
}

/* In place or from one buffer to another. */
static inline void g711_translate(uint8_t *to, const uint8_t *from, size_t length, const uint8_t *table)
{
    for (size_t i = 0; i < length; i++)
        to[i] = table[from[i]];
}

#endif
