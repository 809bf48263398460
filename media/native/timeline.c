/* Where a side's packets lie on a recording's clock: by RTP timestamp (RFC 3550 5.1), slid along with the drift.
 *
 * Nothing arrives before it was sent, so the least delayed packet of a span tells best where the stream belongs. Small
 * errors are made good by one sample a packet, which nobody hears; only an error above 10 ms towards earlier jumps.
 */
#include "core.h"

#define LATE_SAMPLES 1600  /* 200 ms */
#define LATE_PACKETS 10    /* so many in a row are no jitter but a new time line */
#define WAITED_SAMPLES 48000 /* 6 s */
#define SPAN_SAMPLES 40000 /* 5 s: how often the least delay is looked at */
#define SPAN_PACKETS 80    /* fewer tell nothing: the span goes on */
#define EARLY_SAMPLES 80   /* 10 ms */
#define DRIFT_SAMPLES 40   /* 5 ms: smaller errors stay, so that jitter alone moves nothing */

static void timeline_span(struct timeline *line, int64_t arrival)
{
    line->least_delay = LATE_SAMPLES;
    line->span_ends = arrival + SPAN_SAMPLES;
    line->span_packets = 0;
}

static void timeline_set(struct timeline *line, const struct rtp *rtp, int64_t arrival)
{
    line->set = true;
    line->ssrc = rtp->ssrc;
    line->position = arrival;
    line->slip = 0;
    line->late = 0;
    line->until = -1;
    timeline_span(line, arrival);
}

/* The clock of the far end is not ours: at the end of a span it is known how far it has run away. */
static void timeline_follow_drift(struct timeline *line, int64_t delay, int64_t arrival)
{
    if (delay < line->least_delay)
        line->least_delay = delay;
    line->span_packets++;
    if (arrival < line->span_ends || line->span_packets < SPAN_PACKETS)
        return;
    if (line->least_delay > DRIFT_SAMPLES || line->least_delay < -DRIFT_SAMPLES)
        line->slip = line->least_delay;
    timeline_span(line, arrival);
}

/* What is measured before the place is reached counts for nothing. */
static void timeline_slide(struct timeline *line, int64_t arrival)
{
    int64_t step = line->slip > 0 ? 1 : -1;
    line->position += step;
    line->slip -= step;
    if (!line->slip)
        timeline_span(line, arrival);
}

/* When it came, of one that waited for us since its place, as all did meanwhile: as if at its place. */
int64_t timeline_due(const struct timeline *line, const struct rtp *rtp, int64_t arrival)
{
    int64_t place = line->position + (int32_t)(rtp->timestamp - line->timestamp);
    bool waited = line->set && line->ssrc == rtp->ssrc && place < arrival && arrival - place < WAITED_SAMPLES;
    return waited ? place : arrival;
}

int64_t timeline_place(struct timeline *line, const struct rtp *rtp, int64_t arrival)
{
    int64_t expected = line->position + (int32_t)(rtp->timestamp - line->timestamp);
    int64_t delay = arrival - expected;
    line->late = delay > LATE_SAMPLES ? line->late + 1 : 0;
    if (!line->set || line->ssrc != rtp->ssrc || delay < -LATE_SAMPLES || line->late >= LATE_PACKETS) {
        timeline_set(line, rtp, arrival);
    } else if (delay < -EARLY_SAMPLES) {
        line->position = arrival;
        line->slip = 0;
        timeline_span(line, arrival);
    } else {
        line->position = expected;
        if (line->slip)
            timeline_slide(line, arrival);
        else
            timeline_follow_drift(line, delay, arrival);
    }
    line->timestamp = rtp->timestamp;
    return line->position;
}

/* Packets lost just before this one, which is then the newest; 0 also where the stream began anew. */
uint32_t timeline_lost(struct timeline *line, const struct rtp *rtp)
{
    int ahead = (int16_t)(rtp->sequence - line->sequence);
    bool known = line->until >= 0;
    if (known && ahead <= 0)
        return 0;
    line->sequence = rtp->sequence;
    return known ? (uint32_t)ahead - 1 : 0;
}
