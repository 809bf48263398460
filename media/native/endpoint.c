/* One RTP/RTCP port pair: who may send to it (RFC 7362 latch where NAT is expected), digits (RFC 4733), silence, reports. */
#include "core.h"

#include <string.h>

#define LATCH_PACKETS 3
#define LATCH_QUIET_NS (SECOND_NS / 2)
#define REPORT_NS (5 * SECOND_NS)
#define DIGIT_MEMORY 80000       /* samples within which an older event timestamp is a straggler */
#define LONGEST_EVENT 0xFFFFu    /* RFC 4733 2.5.1.3: a longer press goes on in a new segment */

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
    endpoint->handle = command->handle;
    endpoint->slot = command->handle & 0xFFFF;
    endpoint->peer = endpoint->playback = endpoint->recording = NONE;
    endpoint->event_in = endpoint->line.event_out = -1;
    endpoint->line.ssrc = command->open.ssrc;
    endpoint->line.sequence = command->open.sequence;
    endpoint->line.timestamp = command->open.timestamp;
    endpoint->cname = command->open.cname;
    endpoint->report_at = worker->now + REPORT_NS / 2 + (int64_t)(command->open.cname % REPORT_NS);
    slots_add(&worker->open, endpoint->slot, &endpoint->listed);
    io_open(worker->io, endpoint->slot, command->open.rtp_fd, command->open.rtcp_fd);
}

static struct sockaddr_in rtcp_address(struct sockaddr_in address)
{
    address.sin_port = htons((uint16_t)(ntohs(address.sin_port) + 1));
    return address;
}

static bool same_host(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static bool same_address(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return same_host(a, b) && a->sin_port == b->sin_port;
}

static void endpoint_aim(struct endpoint *endpoint, const struct sockaddr_in *address)
{
    endpoint->from = endpoint->line.to = *address;
    endpoint->line.rtcp_to = rtcp_address(*address);
    endpoint->candidates = 0;
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

void endpoint_configure(struct worker *worker, struct endpoint *endpoint, const struct remote *remote)
{
    struct line *line = &endpoint->line;
    if (!endpoint->configured || !same_address(&endpoint->announced, &remote->address)) {
        endpoint->announced = remote->address;
        endpoint->heard_at = 0;
        endpoint_aim(endpoint, &remote->address);
    }
    endpoint->configured = true;
    endpoint->receiving = remote->receiving;
    endpoint->nat = remote->nat;
    endpoint->event_in = remote->event_in;
    endpoint->quiet_from = worker->now;
    if (endpoint->silent)
        endpoint_tell_silence(worker, endpoint, false);
    line->event_out = remote->event_out;
    line->payload_type = (uint8_t)remote->payload_type;
    line->open = remote->sending && remote->address.sin_port && remote->address.sin_addr.s_addr;
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
    worker->endpoints[endpoint->peer].peer = NONE;
    endpoint->peer = NONE;
}

static struct statistics endpoint_statistics(const struct endpoint *endpoint)
{
    return (struct statistics){
        .received = endpoint->receiver.received_all,
        .sent = endpoint->line.packets,
        .dropped = endpoint->dropped,
        .lost = receiver_lost(&endpoint->receiver),
        .remote_lost = endpoint->remote_lost,
        .jitter_ms = receiver_jitter_ms(&endpoint->receiver),
        .remote_jitter_ms = endpoint->remote_jitter_ms,
        .round_trip_ms = endpoint->round_trip_ms,
    };
}

void endpoint_close(struct worker *worker, struct endpoint *endpoint)
{
    endpoint_disconnect(worker, endpoint);
    playback_leave(worker, endpoint);
    recording_leave(worker, endpoint);
    io_close(worker->io, endpoint->slot);
    worker->totals.lost += receiver_lost(&endpoint->receiver);
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

/* Only the address that SDP named counts: what still arrives of the last call on this port is not taken for the next.
 * Behind NAT, by setting, three packets of one stream move the far end: from any host as long as nothing was heard,
 * later from another port of the same host, once the known one is quiet. A stranger can't take over live talk. */
static bool endpoint_latches(struct endpoint *endpoint, const struct sockaddr_in *from, const struct rtp *rtp, int64_t now)
{
    bool moved = same_host(from, &endpoint->from) && now - endpoint->heard_at > LATCH_QUIET_NS;
    if (!endpoint->nat || !(moved || !endpoint->heard_at))
        return false;
    if (!same_address(from, &endpoint->candidate) || endpoint->candidate_ssrc != rtp->ssrc)
        endpoint->candidates = 0;
    endpoint->candidate = *from;
    endpoint->candidate_ssrc = rtp->ssrc;
    if (++endpoint->candidates < LATCH_PACKETS)
        return false;
    endpoint_aim(endpoint, from);
    return true;
}

static bool endpoint_knows(const struct endpoint *endpoint, uint8_t payload_type)
{
    return payload_type == PCMA || payload_type == PCMU || payload_type == COMFORT_NOISE
           || payload_type == endpoint->event_in;
}

static void endpoint_heard(struct worker *worker, struct endpoint *endpoint)
{
    endpoint->heard_at = endpoint->quiet_from = worker->now;
    if (endpoint->silent)
        endpoint_tell_silence(worker, endpoint, false);
}

/* RFC 4733 2.5.1: every packet of one press carries the timestamp of its start, so that any of them tells it once. */
static bool endpoint_pressed_before(struct endpoint *endpoint, const struct rtp *rtp)
{
    if (!endpoint->digit_seen || endpoint->digit_ssrc != rtp->ssrc)
        return false;
    int32_t age = (int32_t)(rtp->timestamp - endpoint->digit_timestamp);
    if (age == LONGEST_EVENT && endpoint->digit == rtp->payload[0]) {
        endpoint->digit_timestamp = rtp->timestamp;
        return true;
    }
    return age <= 0 && age > -DIGIT_MEMORY;
}

static void endpoint_digit(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp)
{
    static const char digits[] = "0123456789*#ABCD";
    if (rtp->length < 4 || rtp->payload[0] >= sizeof digits - 1 || endpoint_pressed_before(endpoint, rtp))
        return;
    endpoint->digit_seen = true;
    endpoint->digit = rtp->payload[0];
    endpoint->digit_timestamp = rtp->timestamp;
    endpoint->digit_ssrc = rtp->ssrc;
    struct event *event = worker_event(worker, EVENT_DIGIT, endpoint->handle);
    if (event) {
        event->digit = digits[rtp->payload[0]];
        worker_event_done(worker);
    }
}

static void endpoint_pass_on(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp, bool event)
{
    if (endpoint->peer == NONE)
        return;
    struct endpoint *to = &worker->endpoints[endpoint->peer];
    if ((event && !endpoint->digits) || rtp->payload_type == COMFORT_NOISE)
        line_skip(to, rtp);
    else if (to->playback == NONE || !playback_takes(worker, to, rtp, event))
        line_relay(worker, to, rtp, event);
}

static void endpoint_receive_rtp(struct worker *worker, struct endpoint *endpoint, struct rtp *rtp)
{
    bool event = rtp->payload_type == endpoint->event_in;
    endpoint_heard(worker, endpoint);
    receiver_update(&endpoint->receiver, rtp, event || rtp->payload_type == COMFORT_NOISE, worker->now);
    if (!endpoint->receiving)
        return;
    if (event)
        endpoint_digit(worker, endpoint, rtp);
    else if (endpoint->recording != NONE && rtp->payload_type != COMFORT_NOISE)
        recording_voice(worker, endpoint, rtp);
    endpoint_pass_on(worker, endpoint, rtp, event);
}

static bool endpoint_accepts(struct endpoint *endpoint, const struct sockaddr_in *from, const struct rtp *rtp, int64_t now)
{
    if (!endpoint->configured || !endpoint_knows(endpoint, rtp->payload_type))
        return false;
    return same_address(from, &endpoint->from) || endpoint_latches(endpoint, from, rtp, now);
}

void endpoint_receive(struct worker *worker, uint32_t slot, bool rtcp, uint8_t *data, size_t length,
                      const struct sockaddr_in *from)
{
    struct endpoint *endpoint = &worker->endpoints[slot];
    struct rtp rtp;
    if (!endpoint->handle)
        return;
    if (rtcp) {
        if (endpoint->configured && same_host(from, &endpoint->from))
            rtcp_receive(endpoint, data, length, worker->now);
        return;
    }
    worker->totals.packets_in++;
    if (rtp_parse(&rtp, data, length) && endpoint_accepts(endpoint, from, &rtp, worker->now)) {
        endpoint_receive_rtp(worker, endpoint, &rtp);
        return;
    }
    endpoint->dropped++;
    worker->totals.packets_dropped++;
}

/* Ten times a second: has the far end fallen silent, is a report due (RFC 3550 6.2, fixed interval)? */
void endpoint_sweep(struct worker *worker, struct endpoint *endpoint)
{
    if (!endpoint->configured)
        return;
    if (!endpoint->receiving)
        endpoint->quiet_from = worker->now;
    else if (!endpoint->silent && worker->now - endpoint->quiet_from > worker->silence_ns)
        endpoint_tell_silence(worker, endpoint, true);
    if (worker->now < endpoint->report_at)
        return;
    endpoint->report_at = worker->now + REPORT_NS;
    if (!endpoint->announced.sin_port || !endpoint->announced.sin_addr.s_addr
        || !(endpoint->line.packets || endpoint->receiver.started))
        return;
    uint8_t *packet = io_scratch(worker->io);
    size_t length = rtcp_build(endpoint, packet, worker->now);
    io_send(worker->io, endpoint->slot, true, packet, length, &endpoint->line.rtcp_to);
}
