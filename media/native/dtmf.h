/* Keys heard in the audio (ITU-T Q.23), within the limits of ITU-T Q.24 table A-1. Knows nothing of packets but their codes. */
#ifndef MEDIA_DTMF_H
#define MEDIA_DTMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DTMF_TONES 8
#define DTMF_BLOCK 40 /* samples: 5 ms */
#define DTMF_WINDOW 4 /* blocks */

/* What one block holds of one frequency: as long as its amplitude, turned by its phase. */
struct phasor {
    float re, im;
};

struct dtmf_block {
    struct phasor tones[DTMF_TONES];
    float power;
};

struct dtmf {
    struct dtmf_block blocks[DTMF_WINDOW]; /* the newest last */
    struct phasor before[DTMF_TONES];      /* the window of one block ago */
    struct phasor turned[DTMF_TONES];      /* phases at the start of the next block */
    float samples[DTMF_BLOCK];
    uint8_t filled;                        /* of `samples` */
    uint8_t blocks_known;
    uint8_t turns;                         /* blocks since the phases were exact */
    char heard, pressed;                   /* heard: in the newest window; pressed: told and still held; 0: none */
    uint8_t hits, misses;
    bool begun;
    uint32_t next_timestamp;
};

void dtmf_init(void);
/* Looks at a packet's A-law or mu-law codes; `linear` is the law's table. Returns the key that began in it, or 0. */
char dtmf_listen(struct dtmf *dtmf, uint32_t timestamp, const uint8_t *codes, size_t count, const int16_t *linear);

#endif
