/* Audio in packets of another length than it came in: RFC 3551 4.2, a=ptime of RFC 8866 6.4, 10 to 60 ms on either side.
 *
 * Called by line.c where the lengths differ; whatever comes at the length that is asked for never passes here. Samples
 * wait until they fill a packet; those before a gap or a new talk spurt go out in a shorter one. What was lost on the way
 * to us keeps its numbers, so that the loss stays visible, and goes out under them if it comes late.
 */
#include "core.h"

#include <string.h>

#define LATE_PACKETS 32 /* of one gap that may still come */

static void packing_emit(struct worker *worker, struct endpoint *to)
{
    struct line *line = &to->line;
    struct packing *packing = &to->packing;
    line->timestamp = packing->start;
    line->duration = packing->filled;
    line_audio(worker, to, packing->marker, ++line->sequence, packing->start, packing->samples, packing->filled, NULL);
    packing->start += packing->filled;
    packing->filled = 0;
    packing->marker = false;
}

void packing_flush(struct worker *worker, struct endpoint *to)
{
    if (to->packing.filled && to->line.open) {
        packing_emit(worker, to);
        to->line.sequence_offset++; /* no packet of the source took this number */
    }
    to->packing.filled = 0;
    to->packing.marker = false;
}

void packing_add(struct worker *worker, struct endpoint *to, uint32_t at, bool marker, const uint8_t *samples,
                 size_t count, const uint8_t *table)
{
    struct packing *packing = &to->packing;
    if (!packing->filled)
        packing->start = at;
    packing->marker |= marker;
    packing->added_at = to->line.clock_at = worker->now;
    to->line.clock = packing->filled ? packing->start + packing->filled : at;
    while (count) {
        size_t room = (size_t)to->line.frame - packing->filled, part = count < room ? count : room;
        uint8_t *place = packing->samples + packing->filled;
        if (table)
            g711_translate(place, samples, part, table);
        else
            memcpy(place, samples, part);
        packing->filled = (uint16_t)(packing->filled + part);
        samples += part;
        count -= part;
        if (packing->filled == to->line.frame)
            packing_emit(worker, to);
    }
}

/* The numbers of `count` packets that have not come are kept for them. */
void packing_leave_gap(struct endpoint *to, uint16_t count)
{
    struct line *line = &to->line;
    struct packing *packing = &to->packing;
    packing->missing = count < LATE_PACKETS ? count : LATE_PACKETS;
    packing->missing_in = (uint16_t)(line->in_highest + 1);
    packing->missing_out = (uint16_t)(line->sequence + 1);
    packing->come = 0;
    line->sequence = (uint16_t)(line->sequence + count);
}

void packing_relay(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool marker, const uint8_t *table)
{
    struct line *line = &to->line;
    struct packing *packing = &to->packing;
    uint16_t step = (uint16_t)(rtp->sequence - line->in_highest);
    uint32_t at = rtp->timestamp + line->timestamp_offset;
    if (step != 1 || marker || at != packing->start + packing->filled)
        packing_flush(worker, to);
    if (step > 1)
        packing_leave_gap(to, (uint16_t)(step - 1));
    packing_add(worker, to, at, marker, rtp->payload, rtp->samples, table);
    /* As if one packet became one: what comes in the length that is asked for goes on behind. */
    line->in_highest = rtp->sequence;
    line->in_first = (uint16_t)(rtp->sequence + 1);
    line->sequence_offset = (uint16_t)(line->sequence - rtp->sequence);
    line->in_timestamp = rtp->timestamp;
    line->in_at = worker->now;
    line->in_samples = rtp->samples;
    line->relayed = 0;
}

void packing_late(struct worker *worker, struct endpoint *to, const struct rtp *rtp, const uint8_t *table)
{
    struct line *line = &to->line;
    struct packing *packing = &to->packing;
    uint16_t index = (uint16_t)(rtp->sequence - packing->missing_in);
    if (index >= packing->missing || packing->come & 1u << index)
        return;
    packing->come |= 1u << index;
    if (table)
        g711_translate(rtp->payload, rtp->payload, rtp->length, table);
    uint8_t *packet = rtp->payload - RTP_HEADER;
    rtp_write(packet, false, line->payload_type, (uint16_t)(packing->missing_out + index),
              (rtp->timestamp + line->timestamp_offset) * to->coder.scale, line->ssrc);
    line_send(worker, to, packet, rtp->length);
}
