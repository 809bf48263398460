/* In-band digits by Goertzel filters: for far ends with which telephone-event (RFC 4733) was not agreed.
 *
 * Blocks of 5 ms are filtered at the eight frequencies of ITU-T Q.23. Four blocks in a row, weighted 1 3 3 1, are a
 * window. How far a tone's phase turns from window to window tells its frequency to a few Hz, and what its level in the
 * window would be at the nominal one. A key is told when five windows in a row hold it and hardly anything else.
 * Called by telephone_event.c. ITU-T Q.24 table A-1 where a limit is named.
 */
#include "dtmf.h"

#include <math.h>
#include <string.h>

#define HITS 5             /* windows: 40 ms are told, 23 ms are not */
#define MISSES 6           /* windows: an interruption of 10 ms is none, a pause of 30 ms is one */
#define LONGEST_GAP 480    /* 60 ms without packets end a key; less is loss, which neither ends nor makes one */
#define TURNS (8000 / DTMF_BLOCK)
#define FREQUENCY 0.025f   /* between 1.5 %, which must be taken, and 3.5 %, which must not */
#define LEAST_AMPLITUDE 1020.0f /* -27 dBm0 a tone: -25 must be taken, -29 (NTT) must not */
#define HIGHER 2.0f        /* the high tone may be 6 dB above the low: 4 dB must be taken */
#define LOWER 3.2f         /* the low one 10 dB above the high: 8 dB must be taken */
#define LEAST_RESPONSE 0.25f /* of the window to the power of a tone that is 2.5 % off */
#define PURITY 0.78f       /* the part of the power that the two tones must have */

static const float frequencies[DTMF_TONES] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};
static const char keys[] = "123A456B789C*0#D";
static const float weights[DTMF_WINDOW] = {0.125f, 0.375f, 0.375f, 0.125f};

typedef float lanes __attribute__((vector_size(DTMF_TONES * sizeof(float))));

static lanes coefficients;
static struct phasor last_sample[DTMF_TONES], turns[DTMF_TONES]; /* e^-jw, and a block's turn e^-jwN */

void dtmf_init(void)
{
    for (int tone = 0; tone < DTMF_TONES; tone++) {
        double w = 2 * M_PI * (double)frequencies[tone] / 8000;
        coefficients[tone] = (float)(2 * cos(w));
        last_sample[tone] = (struct phasor){(float)cos(w), (float)-sin(w)};
        turns[tone] = (struct phasor){(float)cos(w * DTMF_BLOCK), (float)-sin(w * DTMF_BLOCK)};
    }
}

static struct phasor product(struct phasor a, struct phasor b)
{
    return (struct phasor){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* Goertzel's second-order filters, all tones at once; their last two states give amplitude and phase at the block's end. */
static void goertzel(const float *samples, struct phasor *tones)
{
    lanes newest = {0}, older = {0}, coefficient = coefficients;
    for (int i = 0; i < DTMF_BLOCK; i++) {
        lanes next = samples[i] + coefficient * newest - older;
        older = newest;
        newest = next;
    }
    const float scale = 2.0f / DTMF_BLOCK;
    for (int tone = 0; tone < DTMF_TONES; tone++) {
        const struct phasor *back = &last_sample[tone];
        tones[tone] = (struct phasor){(newest[tone] - older[tone] * back->re) * scale, -older[tone] * back->im * scale};
    }
}

/* After a second every frequency has turned by whole circles: what has been rounded off is forgotten. */
static void dtmf_turn_back(struct dtmf *dtmf)
{
    dtmf->turns = 0;
    for (int tone = 0; tone < DTMF_TONES; tone++)
        dtmf->turned[tone] = (struct phasor){1, 0};
}

static void dtmf_begin(struct dtmf *dtmf)
{
    memset(dtmf->blocks, 0, sizeof dtmf->blocks);
    dtmf->filled = dtmf->blocks_known = 0;
    dtmf_turn_back(dtmf);
}

static void dtmf_filter(struct dtmf *dtmf)
{
    memmove(dtmf->blocks, dtmf->blocks + 1, sizeof dtmf->blocks - sizeof dtmf->blocks[0]);
    struct dtmf_block *block = &dtmf->blocks[DTMF_WINDOW - 1];
    block->power = 0;
    for (int i = 0; i < DTMF_BLOCK; i++)
        block->power += dtmf->samples[i] * dtmf->samples[i];
    block->power /= DTMF_BLOCK;
    goertzel(dtmf->samples, block->tones);
    for (int tone = 0; tone < DTMF_TONES; tone++) {
        dtmf->turned[tone] = product(dtmf->turned[tone], turns[tone]);
        block->tones[tone] = product(block->tones[tone], dtmf->turned[tone]);
    }
    if (++dtmf->turns == TURNS)
        dtmf_turn_back(dtmf);
    if (dtmf->blocks_known <= DTMF_WINDOW)
        dtmf->blocks_known++;
}

static float dtmf_window(const struct dtmf *dtmf, struct phasor *window)
{
    float power = 0;
    memset(window, 0, DTMF_TONES * sizeof *window);
    for (int i = 0; i < DTMF_WINDOW; i++) {
        power += weights[i] * dtmf->blocks[i].power;
        for (int tone = 0; tone < DTMF_TONES; tone++) {
            window[tone].re += weights[i] * dtmf->blocks[i].tones[tone].re;
            window[tone].im += weights[i] * dtmf->blocks[i].tones[tone].im;
        }
    }
    return power;
}

static float squared(struct phasor phasor)
{
    return phasor.re * phasor.re + phasor.im * phasor.im;
}

static int loudest(const struct phasor *window, int from)
{
    int best = from;
    for (int tone = from + 1; tone < from + DTMF_TONES / 2; tone++)
        if (squared(window[tone]) > squared(window[best]))
            best = tone;
    return best;
}

/* The amplitude of a tone whose frequency is right, 0 of any other. */
static float amplitude(struct phasor now, struct phasor before, int tone)
{
    struct phasor turn = product(now, (struct phasor){before.re, -before.im});
    float angle = atan2f(turn.im, turn.re); /* in a block's time, beyond what the nominal frequency turns */
    float error = angle * (8000.0f / DTMF_BLOCK / (2 * (float)M_PI));
    if (fabsf(error) > FREQUENCY * frequencies[tone])
        return 0;
    float response = cosf(angle / 2);
    return hypotf(now.re, now.im) / (response * response * response);
}

/* The key that the newest window holds, or 0. */
static char dtmf_key(const struct dtmf *dtmf, const struct phasor *window, float power)
{
    if (power < LEAST_AMPLITUDE * LEAST_AMPLITUDE)
        return 0; /* two tones have that much at least */
    int row = loudest(window, 0), column = loudest(window, DTMF_TONES / 2);
    if (squared(window[row]) + squared(window[column]) < LEAST_RESPONSE * 2 * PURITY * power)
        return 0; /* speech, mostly: it is over here */
    float low = amplitude(window[row], dtmf->before[row], row);
    float high = amplitude(window[column], dtmf->before[column], column);
    if (low < LEAST_AMPLITUDE || high < LEAST_AMPLITUDE || high > HIGHER * low || low > LOWER * high)
        return 0;
    if ((low * low + high * high) / 2 < PURITY * power)
        return 0;
    return keys[4 * row + column - DTMF_TONES / 2];
}

static char dtmf_judge(struct dtmf *dtmf, char key)
{
    if (key && key == dtmf->pressed) {
        dtmf->misses = dtmf->hits = 0;
        return 0;
    }
    if (++dtmf->misses >= MISSES)
        dtmf->pressed = 0;
    dtmf->hits = key && key == dtmf->heard ? (uint8_t)(dtmf->hits + 1) : 1;
    dtmf->heard = key;
    if (!key || dtmf->hits < HITS)
        return 0;
    dtmf->misses = dtmf->hits = 0;
    return dtmf->pressed = key;
}

static char dtmf_block(struct dtmf *dtmf)
{
    struct phasor window[DTMF_TONES];
    dtmf_filter(dtmf);
    float power = dtmf_window(dtmf, window);
    char key = 0;
    /* What was not heard whole tells nothing, neither that a key began nor that it ended. */
    if (dtmf->blocks_known > DTMF_WINDOW)
        key = dtmf_judge(dtmf, dtmf_key(dtmf, window, power));
    memcpy(dtmf->before, window, sizeof dtmf->before);
    return key;
}

/* Where the packet does not follow the last one: some were lost, or nothing was said for a while. */
static void dtmf_follow(struct dtmf *dtmf, uint32_t timestamp)
{
    int32_t gap = (int32_t)(timestamp - dtmf->next_timestamp);
    if (dtmf->begun && !gap)
        return;
    if (!dtmf->begun || gap > LONGEST_GAP || gap < 0)
        dtmf->heard = dtmf->pressed = 0;
    dtmf_begin(dtmf);
    dtmf->begun = true;
}

char dtmf_listen(struct dtmf *dtmf, uint32_t timestamp, const uint8_t *codes, size_t count, const int16_t *linear)
{
    int32_t late = (int32_t)(dtmf->next_timestamp - timestamp);
    if (dtmf->begun && late > 0 && late < 8000)
        return 0; /* what came before it is heard already */
    dtmf_follow(dtmf, timestamp);
    char pressed = 0;
    for (size_t i = 0; i < count; i++) {
        dtmf->samples[dtmf->filled++] = linear[codes[i]];
        if (dtmf->filled < DTMF_BLOCK)
            continue;
        dtmf->filled = 0;
        char key = dtmf_block(dtmf);
        pressed = key ? key : pressed;
    }
    dtmf->next_timestamp = timestamp + (uint32_t)count;
    return pressed;
}
