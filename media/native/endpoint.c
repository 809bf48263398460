/* One RTP/RTCP port pair: what is taken of what arrives, digits (RFC 4733), silence, reports. */
#include "core.h"

#include <string.h>

#define BURST_NS (SECOND_NS / 2)  /* of packets at the highest rate, that may come at once */
#define UNFILLED_NS (SECOND_NS / 10)
#define STORM_PACKETS 500         /* from one sweep to the next: no more is read of what nobody wants */

struct endpoint *endpoint_of(struct worker *worker, uint32_t handle)
{
    uint32_t slot = handle & 0xFFFF;
    if (!handle || slot >= worker->capacity || worker->endpoints[slot].handle != handle)
        return NULL;
    return &worker->endpoints[slot];
}

/* Commands */

void endpoint_open(struct worker *worker, const struct command *command)
{
    struct endpoint *endpoint = &worker->endpoints[command->handle & 0xFFFF];
    memset(endpoint, 0, sizeof *endpoint);
    memset(&worker->dtmf[command->handle & 0xFFFF], 0, sizeof *worker->dtmf);
    endpoint->handle = command->handle;
    endpoint->slot = command->handle & 0xFFFF;
    endpoint->peer = endpoint->playback = endpoint->recording = NONE;
    endpoint->event_in = endpoint->line.event_out = -1;
    endpoint->line.frame = FRAME_SAMPLES;
    endpoint->coder.scale = endpoint->coder.event_scale = endpoint->coder.event_scale_in = 1;
    endpoint->line.ssrc = command->open.ssrc;
    endpoint->line.sequence = command->open.sequence;
    endpoint->line.timestamp = command->open.timestamp;
    endpoint->cname = command->open.cname;
    endpoint->random = command->open.cname | 1;
    endpoint->report_at = worker->now + rtcp_interval(endpoint, true);
    kernel_relay_endpoint(worker, endpoint, command->open.rtp_fd);
    slots_add(&worker->open, endpoint->slot, &endpoint->listed);
    if (!io_open(worker->io, endpoint->slot, command->open.rtp_fd, command->open.rtcp_fd))
        endpoint_close(worker, endpoint); /* deaf: whoever asked for it is told, and its ports are free */
}

static void endpoint_tell_silence(struct worker *worker, struct endpoint *endpoint, bool silent)
{
    endpoint->silent = silent;
    struct event *event = worker_event(worker, EVENT_SILENCE, endpoint->handle);
    if (event) {
        event->silent = silent;
        worker_event_done(worker);
    }
}

static bool same_key(const struct srtp_context *held, const struct srtp_context *given)
{
    return held && given ? srtp_context_same(held, given) : held == given;
}

/* The same key again keeps its context, which knows how often the numbers have gone round and what has come. */
static void endpoint_key(struct srtp_context **held, struct srtp_context *given)
{
    bool same = *held && same_key(*held, given);
    srtp_context_free(same ? given : *held);
    if (!same)
        *held = given;
}

/* The far end comes to know us by another SSRC. */
static void endpoint_rename(struct worker *worker, struct endpoint *endpoint)
{
    kernel_relay_stop(worker, endpoint);
    rtcp_leave(worker, endpoint);
    line_rename(endpoint);
}

/* RFC 7160 4.1: another clock is another source.
 *
 * A context that begins counts from nothing: under a key that was used before (by a far end that went from one suite to
 * another and back, or to plain RTP) our numbers would protect other packets a second time. And who receives elsewhere,
 * or has another key itself, can't know how often they have gone round. Another SSRC has not been numbered yet.
 */
static bool endpoint_begins_anew(const struct endpoint *endpoint, const struct remote *remote)
{
    const union address *there = &remote->announced.rtp;
    bool moved = address_usable(there) && !same_address(&endpoint->latch.announced, there);
    if (endpoint->line.packets && codec_scale(remote->codec) != endpoint->coder.scale)
        return true;
    return remote->srtp_out && endpoint->configured
           && (moved || !same_key(endpoint->srtp_in, remote->srtp_in) || !same_key(endpoint->srtp_out, remote->srtp_out));
}

void endpoint_configure(struct worker *worker, struct endpoint *endpoint, const struct remote *remote)
{
    struct line *line = &endpoint->line;
    struct latch *latch = &endpoint->latch;
    kernel_relay_stop(worker, endpoint);
    packing_flush(worker, endpoint);
    if (endpoint_begins_anew(endpoint, remote))
        endpoint_rename(worker, endpoint);
    endpoint_key(&endpoint->srtp_in, remote->srtp_in);
    endpoint_key(&endpoint->srtp_out, remote->srtp_out);
    coder_configure(worker, endpoint, remote);
    if (latch_announce(latch, &remote->announced)) {
        line->to = latch->from;
        endpoint->collided = false;
    }
    endpoint->configured = true;
    endpoint->receiving = remote->receiving;
    endpoint->event_in = remote->event_in;
    endpoint->quiet_from = worker->now;
    if (endpoint->silent)
        endpoint_tell_silence(worker, endpoint, false);
    line->event_out = remote->event_out;
    line->payload_type = (uint8_t)remote->payload_type;
    line->law = remote->codec ? PCMA : line->payload_type;
    line->frame = remote->frame;
    line->open = remote->sending && address_usable(&remote->announced.rtp);
    if (!line->open)
        line->source = SOURCE_NONE;
}

void endpoint_connect(struct worker *worker, struct endpoint *a, struct endpoint *b, bool digits)
{
    if (a->peer != b->slot)
        endpoint_disconnect(worker, a);
    if (b->peer != a->slot)
        endpoint_disconnect(worker, b);
    a->peer = b->slot;
    b->peer = a->slot;
    a->digits = b->digits = digits;
}

void endpoint_disconnect(struct worker *worker, struct endpoint *endpoint)
{
    if (endpoint->peer == NONE)
        return;
    kernel_relay_stop(worker, endpoint);
    worker->endpoints[endpoint->peer].peer = NONE;
    endpoint->peer = NONE;
}

static struct statistics endpoint_statistics(const struct endpoint *endpoint)
{
    return (struct statistics){
        .received = endpoint->receiver.received_all,
        .sent = endpoint->line.packets_before + endpoint->line.packets,
        .drops = endpoint->drops,
        .lost = receiver_lost(&endpoint->receiver),
        .remote_lost = endpoint->remote_lost,
        .jitter_ms = receiver_jitter_ms(&endpoint->receiver),
        .remote_jitter_ms = endpoint->remote_jitter_ms,
        .round_trip_ms = endpoint->round_trip_ms,
        .reported = endpoint->reported,
    };
}

void endpoint_close(struct worker *worker, struct endpoint *endpoint)
{
    endpoint_disconnect(worker, endpoint);
    telephone_event_end(worker, endpoint);
    playback_leave(worker, endpoint);
    recording_leave(worker, endpoint);
    rtcp_leave(worker, endpoint);
    endpoint_key(&endpoint->srtp_in, NULL);
    endpoint_key(&endpoint->srtp_out, NULL);
    io_close(worker->io, endpoint->slot);
    int64_t lost = receiver_lost(&endpoint->receiver);
    worker->totals.lost += lost > 0 ? lost : 0; /* less than none is duplicates, and a total never shrinks */
    struct event *event = worker_event(worker, EVENT_CLOSED, endpoint->handle);
    if (event) {
        event->statistics = endpoint_statistics(endpoint);
        worker_event_done(worker);
    }
    uint32_t moved = slots_remove(&worker->open, endpoint->listed);
    worker->endpoints[moved].listed = endpoint->listed;
    endpoint->handle = 0;
}

/* Reception */

/* What becomes of a packet. */
enum fate { TAKEN, FOREIGN, UNUSABLE, EXCESS, FORGED, REPLAYED };

/* RFC 3264 5.1: who offered events in two clocks gets them in either. */
static bool endpoint_is_event(const struct endpoint *endpoint, uint8_t payload_type)
{
    return payload_type == endpoint->event_in || (payload_type && payload_type == endpoint->coder.event_other);
}

static bool endpoint_knows(const struct endpoint *endpoint, uint8_t payload_type)
{
    const struct coder *coder = &endpoint->coder;
    if (coder->codec)
        return payload_type == coder->type_in || endpoint_is_event(endpoint, payload_type)
               || (payload_type == COMFORT_NOISE && coder->scale == 1);
    return payload_type == PCMA || payload_type == PCMU || payload_type == COMFORT_NOISE
           || payload_type == endpoint->event_in;
}

static void endpoint_heard(struct worker *worker, struct endpoint *endpoint)
{
    endpoint->quiet_from = worker->now;
    if (endpoint->silent)
        endpoint_tell_silence(worker, endpoint, false);
}

/* Nobody shall hear it. */
static void endpoint_keep_back(struct worker *worker, const struct endpoint *endpoint, const struct rtp *rtp)
{
    if (endpoint->peer != NONE)
        line_skip(worker, &worker->endpoints[endpoint->peer], rtp);
}

static void endpoint_pass_on(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp, bool event)
{
    if (endpoint->peer == NONE)
        return;
    struct endpoint *to = &worker->endpoints[endpoint->peer];
    if (event)
        endpoint->kernel.steady = 0;
    bool kept = event ? !endpoint->digits || endpoint->key_in.kept : telephone_event_sounds(worker, endpoint);
    if (kept || rtp->payload_type == COMFORT_NOISE)
        line_skip(worker, to, rtp);
    else if (event ? telephone_event_relay(worker, endpoint, to, rtp) : to->key_out.active && to->key_out.tone)
        return;
    else if (to->playback == NONE || !playback_takes(worker, to, rtp, event)) {
        line_relay(worker, to, rtp, event);
        if (!event)
            kernel_relay_consider(worker, endpoint, rtp);
    }
}

/* RFC 3550 8.2: the far end has by chance chosen our SSRC. Who only mirrors our packets would do so for ever. */
static void endpoint_collide(struct worker *worker, struct endpoint *endpoint)
{
    endpoint->collided = true;
    endpoint_rename(worker, endpoint);
}

void endpoint_voice(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp, bool relayed)
{
    if (endpoint->event_in < 0)
        telephone_event_listen(worker, endpoint, rtp);
    if (endpoint->recording != NONE)
        recording_voice(worker, endpoint, rtp);
    if (!relayed)
        endpoint_pass_on(worker, endpoint, rtp, false);
}

static void endpoint_other(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp, bool event)
{
    if (event)
        telephone_event_receive(worker, endpoint, rtp);
    if (endpoint->recording != NONE)
        recording_other(worker, endpoint, rtp);
    endpoint_pass_on(worker, endpoint, rtp, event);
}

static enum fate endpoint_receive_rtp(struct worker *worker, struct endpoint *endpoint, struct rtp *rtp)
{
    bool event = endpoint_is_event(endpoint, rtp->payload_type), other = event || rtp->payload_type == COMFORT_NOISE;
    coder_clock(&endpoint->coder, rtp, event);
    if (rtp->ssrc == endpoint->line.ssrc && !endpoint->collided)
        endpoint_collide(worker, endpoint);
    endpoint_heard(worker, endpoint);
    receiver_update(&endpoint->receiver, rtp, other, worker->now);
    if (!endpoint->receiving)
        endpoint_keep_back(worker, endpoint, rtp);
    else if (other)
        endpoint_other(worker, endpoint, rtp, event);
    else if (!rtp->codec)
        endpoint_voice(worker, endpoint, rtp, false);
    else if (!coder_receive(worker, endpoint, rtp))
        return UNUSABLE;
    return TAKEN;
}

/* As how many packets one counts: decoding takes as long as the audio is, and that is up to 120 ms. */
static int64_t endpoint_work(const struct rtp *rtp)
{
    return rtp->codec ? (rtp->samples + FRAME_SAMPLES - 1) / FRAME_SAMPLES : 1;
}

static enum fate endpoint_judge(struct worker *worker, struct endpoint *endpoint, const union address *from,
                                const struct rtp *rtp)
{
    kernel_relay_look(worker, endpoint); /* when was the far end heard? */
    switch (latch_judge(&endpoint->latch, from, rtp, worker->now)) {
    case STRANGER: return FOREIGN;
    case MOVED:
        kernel_relay_stop(worker, endpoint);
        endpoint->line.to = *from;
        break;
    case KNOWN: kernel_relay_take_back(worker, endpoint); break;
    }
    if (endpoint->due_at < worker->now - BURST_NS)
        endpoint->due_at = worker->now - BURST_NS;
    if (endpoint->due_at > worker->now)
        return EXCESS;
    endpoint->due_at += worker->packet_ns * endpoint_work(rtp);
    return TAKEN;
}

static enum fate endpoint_take_rtp(struct worker *worker, struct endpoint *endpoint, uint8_t *data, size_t length,
                                   const union address *from)
{
    struct rtp rtp;
    if (!rtp_parse(&rtp, data, length) || !endpoint_knows(endpoint, rtp.payload_type))
        return UNUSABLE;
    if (endpoint->coder.codec && !coder_understands(&endpoint->coder, &rtp))
        return UNUSABLE;
    enum fate fate = endpoint_judge(worker, endpoint, from, &rtp);
    return fate == TAKEN ? endpoint_receive_rtp(worker, endpoint, &rtp) : fate;
}

static enum fate endpoint_take_rtcp(struct worker *worker, struct endpoint *endpoint, const uint8_t *data,
                                    size_t length, const union address *from)
{
    if (!latch_accepts_rtcp(&endpoint->latch, from))
        return FOREIGN;
    return rtcp_receive(endpoint, data, length, worker->now) ? TAKEN : UNUSABLE;
}

static void drops_count(struct drops *drops, enum fate fate)
{
    drops->strangers += fate == FOREIGN;
    drops->unusable += fate == UNUSABLE;
    drops->excess += fate == EXCESS;
    drops->forged += fate == FORGED;
    drops->replayed += fate == REPLAYED;
}

/* Whoever floods a port is not read any more until the next sweep, so that the others' packets come through. */
static void endpoint_count_arrival(struct worker *worker, struct endpoint *endpoint)
{
    if (++endpoint->arrivals < STORM_PACKETS || endpoint->paused)
        return;
    endpoint->paused = true;
    worker->totals.storms++;
    io_pause(worker->io, endpoint->slot, true);
}

static enum fate endpoint_take(struct worker *worker, struct endpoint *endpoint, bool rtcp, uint8_t *data,
                               size_t length, const union address *from)
{
    static const enum fate fates[] = {[SRTP_FORGED] = FORGED, [SRTP_REPLAYED] = REPLAYED};
    if (!endpoint->configured)
        return FOREIGN;
    /* Before everything: what its far end did not make moves nothing, whoever it seems to come from. */
    enum srtp_outcome opened = endpoint->srtp_in ? srtp_open(endpoint->srtp_in, rtcp, data, &length) : SRTP_TAKEN;
    if (opened != SRTP_TAKEN)
        return fates[opened];
    return rtcp ? endpoint_take_rtcp(worker, endpoint, data, length, from)
                : endpoint_take_rtp(worker, endpoint, data, length, from);
}

void endpoint_receive(struct worker *worker, uint32_t slot, bool rtcp, uint8_t *data, size_t length,
                      const union address *from)
{
    struct endpoint *endpoint = &worker->endpoints[slot];
    if (!endpoint->handle)
        return;
    endpoint_count_arrival(worker, endpoint);
    rtcp |= endpoint->latch.mux && rtcp_is_one(data, length);
    worker->totals.packets_in += !rtcp;
    enum fate fate = endpoint_take(worker, endpoint, rtcp, data, length, from);
    if (fate == TAKEN)
        return;
    drops_count(&endpoint->drops, fate);
    drops_count(&worker->totals.drops, fate);
}

static void endpoint_sweep_silence(struct worker *worker, struct endpoint *endpoint)
{
    if (!endpoint->receiving)
        endpoint->quiet_from = worker->now;
    else if (!endpoint->silent && worker->now - endpoint->quiet_from > worker->silence_ns)
        endpoint_tell_silence(worker, endpoint, true);
}

/* Ten times a second: is a storm over, has the far end fallen silent, is a report due? */
void endpoint_sweep(struct worker *worker, struct endpoint *endpoint)
{
    endpoint->arrivals = 0;
    if (endpoint->paused)
        io_pause(worker->io, endpoint->slot, endpoint->paused = false);
    if (!endpoint->configured)
        return;
    kernel_relay_look(worker, endpoint);
    if (worker->now - endpoint->packing.added_at > UNFILLED_NS)
        packing_flush(worker, endpoint); /* nothing more comes to fill it */
    endpoint_sweep_silence(worker, endpoint);
    if (worker->now < endpoint->report_at)
        return;
    endpoint->report_at = worker->now + rtcp_interval(endpoint, false);
    if (endpoint->peer != NONE)
        kernel_relay_look(worker, &worker->endpoints[endpoint->peer]); /* what was sent here */
    rtcp_report(worker, endpoint);
}
