/* Which streams the kernel passes on, and how the core goes on from where it has left them. */
#include "kernel_relay.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core.h"

#define LOOPBACK 1           /* interface */
#define STEADY 10            /* packets: 0.2 s of talk */
#define MOST_STEADY (1 << 16) /* where the kernel was tried in vain */
#define MOST_TURNS 10000     /* of waiting for who is at a packet */

static struct kernel_flow *flow_of(const struct worker *worker, const struct endpoint *from)
{
    return &worker->kernel.relay->flows[worker->kernel.first + from->slot];
}

static uint64_t *port_of(const struct worker *worker, const struct endpoint *from)
{
    return &worker->kernel.relay->ports[from->kernel.port];
}

/* Ways */

struct question {
    struct nlmsghdr header;
    struct rtmsg message;
    struct rtattr to_header;
    uint32_t to;
    struct rtattr source_header;
    uint32_t source;
};

/* The interface that a packet leaves by, 0 within this machine; false: nobody knows. */
static bool read_way(const uint8_t *answer, size_t length, uint32_t number, uint32_t *interface)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
    if (!NLMSG_OK(header, length) || header->nlmsg_type != RTM_NEWROUTE || header->nlmsg_seq != number)
        return false;
    const struct rtmsg *message = NLMSG_DATA(header);
    size_t rest = RTM_PAYLOAD(header);
    *interface = 0;
    if (message->rtm_type == RTN_LOCAL)
        return true;
    for (const struct rtattr *part = RTM_RTA(message); RTA_OK(part, rest); part = RTA_NEXT(part, rest))
        if (part->rta_type == RTA_OIF)
            memcpy(interface, RTA_DATA(part), sizeof *interface);
    return message->rtm_type == RTN_UNICAST && *interface;
}

static bool find_way(struct kernel_share *share, uint32_t source, uint32_t to, uint32_t *interface)
{
    uint8_t answer[1024] __attribute__((aligned(8)));
    struct question question = {
        .header = {.nlmsg_len = sizeof question, .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST,
                   .nlmsg_seq = ++share->question},
        .message = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_src_len = 32},
        .to_header = {.rta_len = RTA_LENGTH(4), .rta_type = RTA_DST},
        .to = to,
        .source_header = {.rta_len = RTA_LENGTH(4), .rta_type = RTA_SRC},
        .source = source,
    };
    if (send(share->routes_fd, &question, sizeof question, MSG_DONTWAIT) < 0)
        return false;
    ssize_t length = recv(share->routes_fd, answer, sizeof answer, MSG_DONTWAIT); /* it is there when send() is back */
    return length > 0 && read_way(answer, (size_t)length, share->question, interface);
}

/* Putting in */

static bool fits_from(const struct worker *worker, const struct endpoint *from, const struct rtp *rtp)
{
    return from->kernel.port && from->receiving && !from->srtp_in && !from->coder.codec && !rtp->codec && !rtp->marker
           && (from->recording == NONE || (worker->kernel.ring && rtp->length == KERNEL_RELAY_COPIED))
           && from->event_in >= 0 && !from->paused && !*port_of(worker, from)
           && from->latch.from.any.sa_family == AF_INET && from->receiver.timed
           && (uint16_t)from->receiver.highest == rtp->sequence && from->receiver.ssrc == rtp->ssrc
           && from->receiver.highest < UINT32_MAX / 2
           && worker->silence_ns >= KERNEL_RELAY_BURST_NS; /* else it may be called silent, and in the kernel nobody hears it again */
}

static bool fits_to(const struct endpoint *to, const struct rtp *rtp)
{
    const struct line *line = &to->line;
    return to->kernel.port && line->open && to->playback == NONE && !to->srtp_out && !to->coder.codec
           && !to->key_out.active && !to->packing.filled && line->source == SOURCE_RELAY && line->in_ssrc == rtp->ssrc
           && line->in_highest == rtp->sequence && line->in_timestamp == rtp->timestamp && line->frame == rtp->samples
           && line->timestamp == rtp->timestamp + line->timestamp_offset && line->clock == line->timestamp
           && line->law == rtp->payload_type && line->payload_type == rtp->payload_type
           && line->to.any.sa_family == AF_INET;
}

/* By which interfaces it comes and goes. What comes from this machine can only go there, and the other way round. */
static bool find_ways(struct kernel_share *share, const struct endpoint *from, const struct endpoint *to, uint32_t *by,
                      uint32_t *interface)
{
    if (!find_way(share, to->kernel.address, to->line.to.v4.sin_addr.s_addr, interface)
        || !find_way(share, from->kernel.address, from->latch.from.v4.sin_addr.s_addr, by))
        return false;
    *by = *by ? *by : LOOPBACK;
    return (*by == LOOPBACK) == !*interface;
}

static void fill(const struct worker *worker, struct kernel_flow *flow, const struct endpoint *from,
                 const struct endpoint *to, const struct rtp *rtp, uint32_t by, uint32_t interface)
{
    struct kernel_flow filled = {
        .from = from->latch.from.v4.sin_addr.s_addr,
        .from_port = from->latch.from.v4.sin_port,
        .at = from->kernel.address,
        .at_port = from->kernel.port,
        .source = to->kernel.address,
        .source_port = to->kernel.port,
        .to = to->line.to.v4.sin_addr.s_addr,
        .to_port = to->line.to.v4.sin_port,
        .interface = interface,
        .by = by,
        .ssrc_in = rtp->ssrc,
        .ssrc_out = to->line.ssrc,
        .timestamp_offset = to->line.timestamp_offset,
        .sequence_offset = to->line.sequence_offset,
        .length = rtp->samples,
        .type = rtp->payload_type,
        .type_of_service = to->kernel.type_of_service,
        .priority = to->kernel.priority,
        .copies = (uint8_t)(from->recording == NONE ? 0 : worker->kernel.ring),
        .packet_ns = worker->packet_ns,
        .due_at = from->due_at,
        .heard_at = worker->now,
        .highest = from->receiver.highest,
        .timestamp = rtp->timestamp,
        .transit = from->receiver.transit,
        .jitter_q4 = from->receiver.jitter_q4,
    };
    size_t behind = offsetof(struct kernel_flow, from); /* a processor that came too late may just look at `state` */
    memcpy((uint8_t *)flow + behind, (uint8_t *)&filled + behind, sizeof filled - behind);
}

static bool put_in(struct worker *worker, struct endpoint *from, const struct rtp *rtp)
{
    struct endpoint *to = &worker->endpoints[from->peer];
    struct kernel_flow *flow = flow_of(worker, from);
    uint32_t by, interface;
    if (!fits_from(worker, from, rtp) || !fits_to(to, rtp) || !find_ways(&worker->kernel, from, to, &by, &interface))
        return false;
    fill(worker, flow, from, to, rtp, by, interface);
    from->kernel.seen = 0;
    from->kernel.active = true;
    worker->kernel.active++;
    __atomic_store_n(&flow->state, KERNEL_RELAY_ACTIVE, __ATOMIC_RELEASE);
    __atomic_store_n(port_of(worker, from), worker->kernel.first + from->slot + 1, __ATOMIC_RELEASE);
    return true;
}

void kernel_relay_consider(struct worker *worker, struct endpoint *from, const struct rtp *rtp)
{
    if (!worker->kernel.relay || ++from->kernel.steady < from->kernel.patience)
        return;
    from->kernel.steady = 0;
    put_in(worker, from, rtp);
}

/* How far it has come */

/* As between two packets: the program writes on meanwhile, where the stream is active. Whole is what was read while nobody
 * held it before or behind, and no packet was counted since before.
 */
static struct kernel_flow flow_read(struct kernel_flow *flow)
{
    struct kernel_flow copy;
    uint64_t before, held;
    do {
        /* Some hundred nanoseconds, on another processor; for longer only where we keep it from its own (PREEMPT_RT). */
        for (int turns = 0; __atomic_load_n(&flow->state, __ATOMIC_ACQUIRE) & KERNEL_RELAY_BUSY; turns++)
            if (turns > MOST_TURNS)
                usleep(20);
        before = __atomic_load_n(&flow->packets, __ATOMIC_ACQUIRE);
        held = __atomic_load_n(&flow->state, __ATOMIC_ACQUIRE);
        memcpy(&copy, flow, sizeof copy);
        held |= __atomic_fetch_or(&flow->state, 0, __ATOMIC_ACQ_REL); /* behind the copy, which a load might not be */
    } while (held & KERNEL_RELAY_BUSY || __atomic_load_n(&flow->packets, __ATOMIC_ACQUIRE) != before);
    return copy;
}

static void count_received(struct endpoint *from, const struct kernel_flow *flow, uint64_t passed)
{
    struct receiver *receiver = &from->receiver;
    receiver->highest = flow->highest;
    receiver->transit = flow->transit;
    receiver->jitter_q4 = flow->jitter_q4;
    receiver->received += (uint32_t)passed;
    receiver->received_all += passed;
    from->due_at = flow->due_at;
    from->quiet_from = from->latch.heard_at = flow->heard_at;
}

static void count_sent(struct endpoint *to, const struct kernel_flow *flow, uint64_t passed)
{
    struct line *line = &to->line;
    line->in_highest = (uint16_t)flow->highest;
    line->sequence = (uint16_t)(line->in_highest + line->sequence_offset);
    line->in_timestamp = flow->timestamp;
    line->timestamp = line->clock = flow->timestamp + line->timestamp_offset;
    line->in_at = line->sent_at = line->clock_at = flow->heard_at;
    line->packets += passed;
    line->octets += passed * flow->length;
    line->relayed += (uint32_t)passed;
}

void kernel_relay_look(struct worker *worker, struct endpoint *from)
{
    if (!from->kernel.active)
        return;
    struct kernel_flow flow = flow_read(flow_of(worker, from));
    uint64_t passed = flow.packets - from->kernel.seen;
    if (!passed)
        return;
    from->kernel.seen = flow.packets;
    count_received(from, &flow, passed);
    count_sent(&worker->endpoints[from->peer], &flow, passed);
    worker->totals.packets_in += passed;
    worker->totals.packets_out += passed;
    worker->totals.packets_kernel += passed;
}

/* A copy of what was passed on, to be recorded as if it had come by the socket. */
int kernel_relay_copy(void *to, void *data, size_t size)
{
    struct worker *worker = to;
    struct kernel_copy *copy = data;
    uint32_t slot = copy->stream - worker->kernel.first;
    struct endpoint *from = slot < worker->capacity ? &worker->endpoints[slot] : NULL;
    struct rtp rtp;
    if (size >= sizeof *copy && from && from->handle && from->recording != NONE
        && rtp_parse(&rtp, copy->rtp, sizeof copy->rtp))
        recording_voice(worker, from, &rtp);
    return 0;
}

/* Once at a time, for a copy is read until it has been dealt with. */
void kernel_relay_drain(struct worker *worker)
{
    if (!worker->kernel.copies || worker->kernel.drains)
        return;
    worker->kernel.drains = true;
    kernel_relay_read_ring(worker->kernel.copies);
    worker->kernel.drains = false;
}

/* Taking out */

/* Where it passed nothing on it was tried in vain, and next time not so soon. */
void kernel_relay_take_back(struct worker *worker, struct endpoint *from)
{
    if (!from->kernel.active)
        return;
    struct kernel_flow *flow = flow_of(worker, from);
    __atomic_fetch_and(&flow->state, ~KERNEL_RELAY_ACTIVE, __ATOMIC_ACQ_REL);
    kernel_relay_look(worker, from);
    kernel_relay_drain(worker);
    __atomic_store_n(port_of(worker, from), 0, __ATOMIC_RELEASE);
    from->kernel.active = false;
    worker->kernel.active--;
    from->kernel.steady = 0;
    if (from->kernel.seen)
        from->kernel.patience = STEADY;
    else if (from->kernel.patience < MOST_STEADY)
        from->kernel.patience *= 4;
}

void kernel_relay_stop(struct worker *worker, struct endpoint *endpoint)
{
    if (!worker->kernel.active || endpoint->peer == NONE)
        return;
    kernel_relay_take_back(worker, endpoint);
    kernel_relay_take_back(worker, &worker->endpoints[endpoint->peer]);
}

/* Routes, addresses or interfaces have changed: what is put in again asks for its way anew. */
void kernel_relay_sweep(struct worker *worker)
{
    uint8_t told[4096];
    bool changed = false;
    while (worker->kernel.relay
           && (recv(worker->kernel.changes_fd, told, sizeof told, MSG_DONTWAIT) > 0 || errno == ENOBUFS))
        changed = true;
    for (uint32_t i = 0; changed && i < worker->open.count; i++)
        kernel_relay_take_back(worker, &worker->endpoints[worker->open.slot[i]]);
}

/* Life */

/* What the program has to look for in packets: an address of its own, not any. */
void kernel_relay_endpoint(struct worker *worker, struct endpoint *endpoint, int rtp_fd)
{
    union address own = {0};
    socklen_t length = sizeof own, size = sizeof(int);
    int type_of_service = 0, priority = 0;
    endpoint->kernel.patience = STEADY;
    if (!worker->kernel.relay || getsockname(rtp_fd, &own.any, &length) || own.any.sa_family != AF_INET
        || !own.v4.sin_addr.s_addr || getsockopt(rtp_fd, IPPROTO_IP, IP_TOS, &type_of_service, &size)
        || getsockopt(rtp_fd, SOL_SOCKET, SO_PRIORITY, &priority, &size))
        return;
    endpoint->kernel.address = own.v4.sin_addr.s_addr;
    endpoint->kernel.port = own.v4.sin_port;
    endpoint->kernel.type_of_service = (uint8_t)type_of_service;
    endpoint->kernel.priority = (uint32_t)priority;
}

bool kernel_relay_join(struct worker *worker, struct kernel_relay *relay, uint32_t first)
{
    struct sockaddr_nl changes = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE};
    worker->kernel.routes_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    worker->kernel.changes_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    worker->kernel.first = first;
    worker->kernel.relay = relay;
    if (relay->rings_taken < relay->rings_count) {
        worker->kernel.copies = kernel_relay_open_ring(relay, relay->rings_taken, worker);
        worker->kernel.ring = worker->kernel.copies ? ++relay->rings_taken : 0;
    }
    if (worker->kernel.routes_fd >= 0 && worker->kernel.changes_fd >= 0
        && !bind(worker->kernel.changes_fd, (struct sockaddr *)&changes, sizeof changes))
        return true;
    kernel_relay_leave(worker);
    return false;
}

void kernel_relay_leave(struct worker *worker)
{
    int why = errno;
    if (!worker->kernel.relay)
        return;
    if (worker->kernel.copies)
        kernel_relay_close_ring(worker->kernel.copies);
    worker->kernel.copies = NULL;
    if (worker->kernel.routes_fd >= 0)
        close(worker->kernel.routes_fd);
    if (worker->kernel.changes_fd >= 0)
        close(worker->kernel.changes_fd);
    worker->kernel.relay = NULL;
    errno = why;
}
