/* RFC 3550 5.1: what one far end receives: one SSRC with sequence numbers and timestamps that never break.
 *
 * Relayed packets keep their distances (loss stays visible) by constant offsets; whenever the source changes the
 * offsets are anchored anew behind the newest packet sent.
 */
#include "core.h"

#define FORGIVEN_JUMP 500       /* sequence numbers */
#define FORGIVEN_TIMESTAMP 16000 /* samples between timestamp and clock */
#define EARLY_PACKETS 1000
#define UNHEARD_NS (300 * SECOND_NS) /* then numbers may have gone round: 65536 packets of 10 ms are 11 minutes */
#define LATE_NS (SECOND_NS / 5)
#define STOOD_LONG_NS SECOND_NS /* shorter ones a jitter buffer bridges, with all that was said */
#define BESIDE_VOICE 800 /* samples that a key may begin behind voice that goes on besides it */

/* Timestamp behind what has been sent or waits to be. */
static uint32_t line_end(const struct endpoint *to)
{
    const struct line *line = &to->line;
    if (to->packing.filled)
        return to->packing.start + to->packing.filled;
    return line->timestamp + (line->duration ? line->duration : FRAME_SAMPLES);
}

/* Of what begins now: behind that, and later than the newest by the time that has passed, in whole frames. */
static uint32_t line_now(const struct endpoint *to, int64_t now)
{
    const struct line *line = &to->line;
    uint32_t end = line_end(to);
    uint32_t at = line->clock + (uint32_t)((now - line->clock_at + FRAME_NS / 2) / FRAME_NS * FRAME_SAMPLES);
    return line->clock_at && (int32_t)(at - end) > 0 ? at : end;
}

static void line_clock(struct line *line, uint32_t timestamp, int64_t now)
{
    line->clock = timestamp;
    line->clock_at = now;
}

void line_send(struct worker *worker, struct endpoint *to, uint8_t *packet, size_t length)
{
    size_t size = RTP_HEADER + length;
    if (to->srtp_out && !srtp_seal(to->srtp_out, false, packet, &size))
        return; /* a duplicate: no number may be used twice with one key */
    to->line.packets++;
    to->line.octets += length;
    to->line.sent_at = worker->now;
    worker->totals.packets_out++;
    io_send(worker->io, to->slot, false, packet, size, &to->line.to);
}

/* That which the source's own timestamps want, where it is about that. */
static uint32_t line_now_or(const struct endpoint *to, uint32_t wanted, int64_t now)
{
    uint32_t end = line_end(to), at = line_now(to, now);
    return wanted - end <= at - end + FRAME_SAMPLES ? wanted : at;
}

/* True: it begins a talk spurt, as somebody else's or behind a pause (RFC 3551 4.1). */
static bool line_anchor(struct worker *worker, struct endpoint *to, const struct rtp *rtp)
{
    struct line *line = &to->line;
    int64_t now = worker->now;
    bool mixed = line->source == SOURCE_MIX, goes_on = mixed && line->mixed_ssrc == rtp->ssrc;
    uint32_t end = line_end(to);
    uint32_t at = goes_on ? line_now_or(to, end + rtp->timestamp - line->mixed_until, now) : line_now(to, now);
    packing_flush(worker, to);
    to->packing.missing = 0;
    line->source = SOURCE_RELAY;
    line->sequence_offset = (uint16_t)(line->sequence + 1 - rtp->sequence);
    line->timestamp_offset = at - rtp->timestamp;
    line->in_ssrc = rtp->ssrc;
    line->in_first = rtp->sequence;
    line->in_highest = (uint16_t)(rtp->sequence - 1);
    line->in_timestamp = rtp->timestamp;
    line->in_at = now;
    line->relayed = 0;
    return !mixed || at != end;
}

/* Has the source begun anew? `press`: the first packet of an event, whose timestamp is that of now, as that of voice is;
 * that of any other packet of an event is as old as the key is held (RFC 4733 2.1).
 */
static bool line_jumped(const struct line *line, const struct rtp *rtp, bool event, bool press, int64_t now)
{
    int delta = (int16_t)(rtp->sequence - line->in_highest);
    if (delta > FORGIVEN_JUMP || delta < -FORGIVEN_JUMP)
        return true;
    if (event && !press)
        return false;
    if (event && (int32_t)(rtp->timestamp + line->timestamp_offset - line->timestamp) < -BESIDE_VOICE)
        return true;
    int64_t error = (int32_t)(rtp->timestamp - line->in_timestamp) - (now - line->in_at) / SAMPLE_NS;
    return now - line->in_at > UNHEARD_NS || error > FORGIVEN_TIMESTAMP || error < -FORGIVEN_TIMESTAMP;
}

/* This thread stood still for long, and what came meanwhile is as much behind the talk. A jitter buffer that took it would
 * stay behind for the rest of the call. It keeps its number, so that the far end tells of the loss.
 */
static bool line_too_late(const struct worker *worker, const struct line *line, const struct rtp *rtp)
{
    if (worker->now >= worker->caught_up_at || worker->woke_at - worker->stood_from < STOOD_LONG_NS)
        return false;
    if (line->source != SOURCE_RELAY || line->in_ssrc != rtp->ssrc || line->in_at < worker->stood_from - SECOND_NS
        || line->in_at >= worker->timely_by)
        return false;
    int64_t passed = worker->now - line->in_at, late = passed - (int32_t)(rtp->timestamp - line->in_timestamp) * SAMPLE_NS;
    return late > LATE_NS && late < passed;
}

/* A key's timestamp is that of its beginning in all its packets, and says of the later ones nothing about the time. */
static void line_move(struct line *line, uint32_t timestamp, int64_t now)
{
    if ((int32_t)(timestamp - line->timestamp) <= 0)
        return;
    line->timestamp = timestamp;
    line_clock(line, timestamp, now);
}

/* The newest packet moves the line on; one that comes late leaves it. */
static void line_advance(struct line *line, const struct rtp *rtp, bool event, int64_t now)
{
    if ((int16_t)(rtp->sequence - line->in_highest) < 0)
        return;
    line->in_highest = rtp->sequence;
    line->sequence = (uint16_t)(rtp->sequence + line->sequence_offset);
    line_move(line, rtp->timestamp + line->timestamp_offset, now);
    if (!event) {
        line->duration = line->in_samples = rtp->samples;
        line->in_timestamp = rtp->timestamp;
        line->in_at = now;
    }
}

/* From the law of what came to the line's; NULL where they are one. */
static const uint8_t *line_table(const struct line *line, const struct rtp *rtp)
{
    if (rtp->codec || rtp->payload_type == line->law)
        return NULL;
    return rtp->payload_type == PCMA ? alaw_to_ulaw : ulaw_to_alaw;
}

/* May it go out in the packet that it came in? What is made or encoded for it has to be in order, for that is how. */
static bool line_as_it_came(const struct endpoint *to, const struct rtp *rtp)
{
    return !rtp->made && rtp->codec == to->coder.codec;
}

/* In the packet that it came in. */
static void line_pass(struct worker *worker, struct endpoint *to, const struct rtp *rtp, uint8_t payload_type,
                      bool marker, uint16_t sequence, uint32_t timestamp)
{
    uint8_t *packet = rtp->payload - RTP_HEADER;
    rtp_write(packet, marker, payload_type, sequence, timestamp * to->coder.scale, to->line.ssrc);
    line_send(worker, to, packet, rtp->length);
}

/* An event's duration in the far end's units, at most as long as can be told (RFC 4733 2.3.5). */
static void line_write_duration(const struct endpoint *to, uint8_t *payload, uint32_t samples)
{
    uint32_t most = 0xFFFFu / to->coder.event_scale;
    write16(payload + 2, (uint16_t)((samples < most ? samples : most) * to->coder.event_scale));
}

bool line_has_key(const struct line *line, const struct rtp *rtp)
{
    return line->keyed && !rtp->marker && line->key_ssrc == rtp->ssrc && line->key_in == rtp->timestamp;
}

void line_keep_key(struct line *line, uint32_t ssrc, uint32_t in_timestamp, uint32_t timestamp, uint32_t hidden)
{
    line->keyed = true;
    line->key_ssrc = ssrc;
    line->key_in = in_timestamp;
    line->key_out = timestamp;
    line->key_hidden = hidden;
}

/* A key is known by its timestamp (RFC 4733 2.1), so it keeps that whatever begins or ends meanwhile. */
static void line_pass_event(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool marker,
                            uint16_t sequence, uint32_t timestamp)
{
    struct line *line = &to->line;
    if (!line_has_key(line, rtp))
        line_keep_key(line, rtp->ssrc, rtp->timestamp, timestamp, 0);
    if ((to->coder.event_scale != 1 || line->key_hidden) && rtp->length >= 4) {
        uint32_t told = read16(rtp->payload + 2);
        line_write_duration(to, rtp->payload, told > line->key_hidden ? told - line->key_hidden : 0);
    }
    line_pass(worker, to, rtp, (uint8_t)line->event_out, marker, sequence, line->key_out);
}

void line_audio(struct worker *worker, struct endpoint *to, bool marker, uint16_t sequence, uint32_t timestamp,
                const uint8_t *codes, size_t count, const uint8_t *table)
{
    uint8_t *packet = io_scratch(worker->io), *payload = packet + RTP_HEADER;
    if (table)
        g711_translate(payload, codes, count, table);
    else
        __builtin_memcpy(payload, codes, count);
    if (to->coder.codec)
        count = coder_encode(&to->coder, payload, count, payload);
    rtp_write(packet, marker, to->line.payload_type, sequence, timestamp * to->coder.scale, to->line.ssrc);
    if (count)
        line_send(worker, to, packet, count);
}

static void line_pass_audio(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool marker,
                            uint16_t sequence, uint32_t timestamp)
{
    const uint8_t *table = line_table(&to->line, rtp);
    if (!line_as_it_came(to, rtp)) {
        line_audio(worker, to, marker, sequence, timestamp, rtp->payload, rtp->length, table);
        return;
    }
    if (table)
        g711_translate(rtp->payload, rtp->payload, rtp->length, table);
    line_pass(worker, to, rtp, to->line.payload_type, marker, sequence, timestamp);
}

/* A key that goes on behind a prompt, or pressed while one is mixed over the talk: next in sequence, timed as before it. */
static void line_event_over_mix(struct worker *worker, struct endpoint *to, const struct rtp *rtp)
{
    struct line *line = &to->line;
    uint32_t timestamp = line->in_ssrc == rtp->ssrc ? rtp->timestamp + line->timestamp_offset : line->timestamp;
    line_pass_event(worker, to, rtp, rtp->marker, ++line->sequence, timestamp);
}

void line_relay(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool event)
{
    struct line *line = &to->line;
    if (!line->open)
        return;
    if (event && line->event_out < 0) {
        line_skip(worker, to, rtp);
        return;
    }
    bool over_mix = line->source == SOURCE_MIX && to->playback != NONE;
    if (event && line->source != SOURCE_RELAY && (over_mix || line_has_key(line, rtp))) {
        line_event_over_mix(worker, to, rtp);
        return;
    }
    if (!event && line_too_late(worker, line, rtp)) {
        worker->totals.packets_late++;
        return;
    }
    bool marker = rtp->marker;
    if (line->source != SOURCE_RELAY || line->in_ssrc != rtp->ssrc || line_jumped(line, rtp, event, rtp->marker, worker->now)) {
        marker |= line_anchor(worker, to, rtp);
    } else if (line->relayed < EARLY_PACKETS && (int16_t)(rtp->sequence - line->in_first) < 0) {
        if (!event && line_as_it_came(to, rtp)) /* from before the switch: its number is taken, but where it was kept */
            packing_late(worker, to, rtp, line_table(line, rtp));
        return;
    }
    bool newest = (int16_t)(rtp->sequence - line->in_highest) > 0;
    if (!event && !newest && !line_as_it_came(to, rtp))
        return;
    if (!event && newest && (rtp->samples != line->frame || to->packing.filled)) {
        packing_relay(worker, to, rtp, marker, line_table(line, rtp));
        return;
    }
    if (event && to->packing.filled)
        packing_flush(worker, to);
    line->relayed++;
    line_advance(line, rtp, event, worker->now);
    (event ? line_pass_event : line_pass_audio)(worker, to, rtp, marker, (uint16_t)(rtp->sequence + line->sequence_offset),
                                                rtp->timestamp + line->timestamp_offset);
}

/* Another SSRC is another source to the far end: it counts anew. */
void line_rename(struct endpoint *to)
{
    struct line *line = &to->line;
    to->remote_lost_before = to->remote_lost;
    line->ssrc = (uint32_t)rtcp_random(to);
    line->packets_before += line->packets;
    line->packets = line->octets = 0;
}

/* A packet of the relayed stream that is not passed on must not look like loss, and those missing before it keep their
 * numbers. Where they have jumped, what is passed on next begins anew.
 */
void line_skip(struct worker *worker, struct endpoint *to, const struct rtp *rtp)
{
    struct line *line = &to->line;
    int ahead = (int16_t)(rtp->sequence - line->in_highest);
    if (line->source != SOURCE_RELAY || line->in_ssrc != rtp->ssrc || ahead <= 0 || ahead > FORGIVEN_JUMP)
        return;
    if (ahead > 1) {
        packing_flush(worker, to);
        packing_leave_gap(to, (uint16_t)(ahead - 1));
    }
    line->in_highest = rtp->sequence;
    line->in_first = (uint16_t)(rtp->sequence + 1);
    line->sequence_offset = (uint16_t)(line->sequence - rtp->sequence);
    line->relayed = 0;
}

void line_mix(struct line *line, const struct rtp *rtp, bool first)
{
    if (first) {
        line->mixed_on = line->source == SOURCE_RELAY && line->in_ssrc == rtp->ssrc;
        line->mixed_from = rtp->timestamp + line->timestamp_offset;
    }
    line->mixed_ssrc = rtp->ssrc;
    line->mixed_until = rtp->timestamp + rtp->samples;
}

/* Where a prompt or mix begins. What was relayed before goes on in a mix without a gap, however long it has waited for it. */
static uint32_t line_switch(struct worker *worker, struct endpoint *to, enum source source, bool *marker)
{
    struct line *line = &to->line;
    bool switched = line->source != source, goes_on = source == SOURCE_MIX && line->mixed_on;
    uint32_t end = line_end(to), at = goes_on ? line_now_or(to, line->mixed_from, worker->now) : line_now(to, worker->now);
    *marker = at != end || !line->clock_at || (switched && source == SOURCE_PROMPT);
    if (switched || at != end)
        packing_flush(worker, to);
    line->mixed_on = false;
    line->source = source;
    return at;
}

/* What is as long as the far end's packets goes out at once, else together with more. */
static uint32_t line_put(struct worker *worker, struct endpoint *to, const uint8_t *alaw, size_t count, enum source source,
                         bool begins)
{
    struct line *line = &to->line;
    const uint8_t *table = line->law == PCMA ? NULL : alaw_to_ulaw;
    bool marker = false;
    uint32_t at = begins || line->source != source ? line_switch(worker, to, source, &marker) : line_end(to);
    if (line->frame != count || to->packing.filled) {
        packing_add(worker, to, at, marker, alaw, count, table);
    } else {
        line->timestamp = at;
        line->duration = (uint16_t)count;
        line_clock(line, at, worker->now);
        line_audio(worker, to, marker, ++line->sequence, at, alaw, count, table);
    }
    return at * to->coder.scale;
}

uint32_t line_frame(struct worker *worker, struct endpoint *to, const uint8_t *alaw, enum source source, bool begins)
{
    return line_put(worker, to, alaw, FRAME_SAMPLES, source, begins);
}

void line_rest(struct worker *worker, struct endpoint *to, const uint8_t *alaw, size_t count, bool begins)
{
    line_put(worker, to, alaw, count, SOURCE_MIX, begins);
    packing_flush(worker, to);
}

/* Where an event that is made anew begins in the line: as if its packet were relayed, which line_skip() then undoes. */
uint32_t line_event_begins(struct worker *worker, struct endpoint *to, const struct rtp *rtp)
{
    struct line *line = &to->line;
    packing_flush(worker, to);
    if (line->source != SOURCE_RELAY || line->in_ssrc != rtp->ssrc || line_jumped(line, rtp, true, true, worker->now))
        line_anchor(worker, to, rtp);
    return rtp->timestamp + line->timestamp_offset;
}

void line_event(struct worker *worker, struct endpoint *to, const uint8_t *payload, uint32_t duration, uint32_t timestamp,
                bool marker)
{
    struct line *line = &to->line;
    uint8_t *packet = io_scratch(worker->io);
    rtp_write(packet, marker, (uint8_t)line->event_out, ++line->sequence, timestamp * to->coder.scale, line->ssrc);
    __builtin_memcpy(packet + RTP_HEADER, payload, 2);
    line_write_duration(to, packet + RTP_HEADER, duration);
    line->sequence_offset++; /* no packet of the source took this number, and none that comes late may */
    line->in_first = (uint16_t)(line->in_highest + 1);
    line->relayed = 0;
    line_move(line, timestamp, worker->now);
    line_send(worker, to, packet, 4);
}

void line_event_shows(struct worker *worker, struct endpoint *to, const struct rtp *rtp, uint32_t hidden)
{
    struct line *line = &to->line;
    line_keep_key(line, rtp->ssrc, rtp->timestamp, line->timestamp, hidden);
    line_skip(worker, to, rtp);
    line_event(worker, to, rtp->payload, read16(rtp->payload + 2) - hidden, line->timestamp, true);
}
