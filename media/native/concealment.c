/* Fills what was lost before a packet in a recording: the last pitch period again and again, fading (after G.711
 * appendix I).
 *
 * The first 10 ms at full level, then a fifth less every 10 ms: silence after 60 ms. No seam clicks: the end of the period
 * goes over into what stood before its beginning, and so does the last that was heard; what comes after the gap is faded
 * in over the filling, which goes on for so long.
 */
#include "concealment.h"
#include "g711.h"

#define SHORTEST_PERIOD 40 /* 200 Hz */
#define LONGEST_PERIOD 120 /* 67 Hz */
#define COMPARED 160       /* 20 ms */
#define STEP 2             /* every other sample tells enough */
#define FULL_LEVEL 80      /* 10 ms */
#define FADE 400           /* 50 ms */

/* The lag at which the end of `history` is most like what was before it. */
static int pitch_period(const int16_t *history)
{
    const int16_t *recent = history + CONCEALMENT_HISTORY - COMPARED;
    int best = LONGEST_PERIOD;
    float most = 0;
    for (int lag = SHORTEST_PERIOD; lag <= LONGEST_PERIOD; lag++) {
        float product = 0, energy = 1;
        for (int i = 0; i < COMPARED; i += STEP) {
            product += (float)recent[i] * recent[i - lag];
            energy += (float)recent[i - lag] * recent[i - lag];
        }
        float likeness = product > 0 ? product * product / energy : 0;
        if (likeness > most) {
            most = likeness;
            best = lag;
        }
    }
    return best;
}

/* `to` of `whole` samples from one into the other. */
static int16_t between(int16_t from, int16_t into, int to, int whole)
{
    return (int16_t)((from * (whole - to) + into * to) / whole);
}

/* The end of `history`, going over into what stands one period before it: the period may follow then, and itself. */
static void overlap_tail(int16_t *history, int period)
{
    int quarter = period / 4;
    int16_t *tail = history + CONCEALMENT_HISTORY - quarter;
    for (int i = 0; i < quarter; i++)
        tail[i] = between(tail[i], tail[i - period], i + 1, quarter);
}

void conceal(const uint8_t *before, uint8_t *codes, int count)
{
    int16_t history[CONCEALMENT_HISTORY];
    for (int i = 0; i < CONCEALMENT_HISTORY; i++)
        history[i] = alaw_linear[before[i]];
    int period = pitch_period(history);
    overlap_tail(history, period);
    const int16_t *last = history + CONCEALMENT_HISTORY - period;
    for (int i = 0; i < CONCEALMENT_TAIL; i++)
        *codes++ = alaw_encode(history[CONCEALMENT_HISTORY - CONCEALMENT_TAIL + i]);
    for (int i = 0; i < count; i++) {
        int level = i < FULL_LEVEL ? FADE : i < FULL_LEVEL + FADE ? FULL_LEVEL + FADE - i : 0;
        codes[i] = level == FADE ? alaw_encode(last[i % period]) : alaw_encode(last[i % period] * level / FADE);
    }
}

void conceal_end(uint8_t *codes, const uint8_t *filling, int count)
{
    for (int i = 0; i < count; i++)
        codes[i] = alaw_encode(between(alaw_linear[filling[i]], alaw_linear[codes[i]], i + 1, count + 1));
}
