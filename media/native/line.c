/* RFC 3550 5.1: what one far end receives: one SSRC with sequence numbers and timestamps that never break.
 *
 * Relayed packets keep their distances (loss stays visible) by constant offsets; whenever the source changes the
 * offsets are anchored anew behind the newest packet sent.
 */
#include "core.h"

#define FORGIVEN_JUMP 500       /* sequence numbers */
#define FORGIVEN_TIMESTAMP 16000 /* samples between timestamp and clock */
#define EARLY_PACKETS 1000

/* Timestamp step behind the newest packet: the time passed in whole frames, at least one. */
static uint32_t line_step(const struct line *line, int64_t now)
{
    int64_t frames = (now - line->sent_at + FRAME_NS / 2) / FRAME_NS;
    return (uint32_t)(frames < 1 || !line->packets ? 1 : frames) * FRAME_SAMPLES;
}

static void line_send(struct worker *worker, struct endpoint *to, uint8_t *packet, size_t length)
{
    to->line.packets++;
    to->line.octets += length;
    to->line.sent_at = worker->now;
    worker->totals.packets_out++;
    io_send(worker->io, to->slot, false, packet, RTP_HEADER + length, &to->line.to);
}

static void line_anchor(struct line *line, const struct rtp *rtp, int64_t now)
{
    line->source = SOURCE_RELAY;
    line->sequence_offset = (uint16_t)(line->sequence + 1 - rtp->sequence);
    line->timestamp_offset = line->timestamp + line_step(line, now) - rtp->timestamp;
    line->in_ssrc = rtp->ssrc;
    line->in_first = line->in_highest = rtp->sequence;
    line->in_timestamp = rtp->timestamp;
    line->in_at = now;
    line->relayed = 0;
}

static bool line_jumped(const struct line *line, const struct rtp *rtp, bool event, int64_t now)
{
    int delta = (int16_t)(rtp->sequence - line->in_highest);
    if (delta > FORGIVEN_JUMP || delta < -FORGIVEN_JUMP)
        return true;
    /* An event's timestamp is that of its start, however long the key is held (RFC 4733 2.1). */
    if (event)
        return false;
    int64_t error = (int32_t)(rtp->timestamp - line->in_timestamp) - (now - line->in_at) / SAMPLE_NS;
    return error > FORGIVEN_TIMESTAMP || error < -FORGIVEN_TIMESTAMP;
}

/* The newest packet moves the line on; one that comes late leaves it. */
static void line_advance(struct line *line, const struct rtp *rtp, bool event, int64_t now)
{
    if ((int16_t)(rtp->sequence - line->in_highest) < 0)
        return;
    line->in_highest = rtp->sequence;
    line->sequence = (uint16_t)(rtp->sequence + line->sequence_offset);
    uint32_t timestamp = rtp->timestamp + line->timestamp_offset;
    if ((int32_t)(timestamp - line->timestamp) > 0)
        line->timestamp = timestamp;
    if (!event) {
        line->in_timestamp = rtp->timestamp;
        line->in_at = now;
    }
}

static uint8_t line_payload_type(const struct line *line, const struct rtp *rtp, bool event)
{
    if (event)
        return (uint8_t)line->event_out;
    if (rtp->payload_type != line->payload_type)
        g711_translate(rtp->payload, rtp->payload, rtp->length, rtp->payload_type == PCMA ? alaw_to_ulaw : ulaw_to_alaw);
    return line->payload_type;
}

/* A key pressed while a prompt is mixed over the talk: next in sequence, timed as before the prompt. */
static void line_event_over_mix(struct worker *worker, struct endpoint *to, const struct rtp *rtp)
{
    struct line *line = &to->line;
    uint32_t timestamp = line->in_ssrc == rtp->ssrc ? rtp->timestamp + line->timestamp_offset : line->timestamp;
    uint8_t *packet = rtp->payload - RTP_HEADER;
    rtp_write(packet, rtp->marker, (uint8_t)line->event_out, ++line->sequence, timestamp, line->ssrc);
    line_send(worker, to, packet, rtp->length);
}

void line_relay(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool event)
{
    struct line *line = &to->line;
    if (!line->open)
        return;
    if (event && line->event_out < 0) {
        line_skip(to, rtp);
        return;
    }
    if (event && line->source == SOURCE_MIX && to->playback != NONE) {
        line_event_over_mix(worker, to, rtp);
        return;
    }
    bool marker = rtp->marker;
    if (line->source != SOURCE_RELAY || line->in_ssrc != rtp->ssrc || line_jumped(line, rtp, event, worker->now)) {
        marker |= line->source != SOURCE_MIX;
        line_anchor(line, rtp, worker->now);
    } else if (line->relayed < EARLY_PACKETS && (int16_t)(rtp->sequence - line->in_first) < 0) {
        return; /* from before the switch: its number is taken */
    }
    line->relayed++;
    line_advance(line, rtp, event, worker->now);
    uint8_t *packet = rtp->payload - RTP_HEADER;
    rtp_write(packet, marker, line_payload_type(line, rtp, event), (uint16_t)(rtp->sequence + line->sequence_offset),
              rtp->timestamp + line->timestamp_offset, line->ssrc);
    line_send(worker, to, packet, rtp->length);
}

/* Another SSRC is another source to the far end: it counts anew. */
void line_rename(struct line *line, uint32_t ssrc)
{
    line->ssrc = ssrc;
    line->packets_before += line->packets;
    line->packets = line->octets = 0;
}

/* A packet of the relayed stream that is not passed on must not look like loss. */
void line_skip(struct endpoint *to, const struct rtp *rtp)
{
    struct line *line = &to->line;
    if (line->source != SOURCE_RELAY || line->in_ssrc != rtp->ssrc)
        return;
    if ((int16_t)(rtp->sequence - line->in_highest) > 0) {
        line->in_highest = rtp->sequence;
        line->sequence_offset--;
    }
}

void line_frame(struct worker *worker, struct endpoint *to, const uint8_t *alaw, enum source source)
{
    struct line *line = &to->line;
    bool switched = line->source != source;
    line->timestamp += switched ? line_step(line, worker->now) : FRAME_SAMPLES;
    line->sequence++;
    line->source = source;
    uint8_t *packet = io_scratch(worker->io);
    rtp_write(packet, switched && source == SOURCE_PROMPT, line->payload_type, line->sequence, line->timestamp, line->ssrc);
    if (line->payload_type == PCMA)
        __builtin_memcpy(packet + RTP_HEADER, alaw, FRAME_SAMPLES);
    else
        g711_translate(packet + RTP_HEADER, alaw, FRAME_SAMPLES, alaw_to_ulaw);
    line_send(worker, to, packet, FRAME_SAMPLES);
}
