/* What a gap in A-law is filled with: for recordings, where nobody waits for what was lost. */
#ifndef MEDIA_CONCEALMENT_H
#define MEDIA_CONCEALMENT_H

#include <stdint.h>

#define CONCEALMENT_HISTORY 280 /* samples before a gap that its filling is made of: 35 ms */
#define CONCEALMENT_MOST 480    /* samples of a gap that are filled: 60 ms */
#define CONCEALMENT_TAIL 30     /* of the samples before a gap that may change: a quarter of the longest period */
#define CONCEALMENT_END 40      /* samples behind a gap that the filling goes on in: 5 ms */

/* A-law, after the CONCEALMENT_HISTORY samples `before`: CONCEALMENT_TAIL in the place of their last, then `count` more. */
void conceal(const uint8_t *before, uint8_t *codes, int count);
/* Fades `codes`, the first after the gap, in over what follows the filling. */
void conceal_end(uint8_t *codes, const uint8_t *filling, int count);

#endif
