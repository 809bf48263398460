/* Passes the next packet of an ordinary stream on: IPv4, UDP, RTP with the fixed header alone. See ../kernel_relay.h.
 *
 * Compiled by clang for BPF (setup.py), given to the kernel by ../kernel_relay_load.c.
 */
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef short int16_t;
typedef int int32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;

#include "../kernel_relay.h"

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define NEXT (-1) /* TCX_NEXT: not ours */
#define PASS 0    /* TCX_PASS: up to whom it is addressed to now */
#define DROP 2
#define IPV4 0x0800
#define TO_US 0 /* PACKET_HOST: its MAC address is that of this machine */
#define ETHERNET 14
#define UDP 17
#define DONT_FRAGMENT 0x4000
#define TIME_TO_LIVE 64
#define SAMPLE_NS 125000ULL

struct ip {
    uint8_t version_length, type_of_service;
    uint16_t length, identification, fragment;
    uint8_t time_to_live, protocol;
    uint16_t checksum;
    uint32_t source, destination;
};

struct udp {
    uint16_t source, destination, length, checksum;
};

struct rtp {
    uint8_t first, type;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
};

/* Of whatever they are. */
typedef uint16_t __attribute__((may_alias)) word;
typedef uint32_t __attribute__((may_alias)) pair;

/* Where in a packet they stand. */
#define IP_AT ETHERNET
#define UDP_AT (IP_AT + sizeof(struct ip))
#define RTP_AT (UDP_AT + sizeof(struct udp))
#define HEADERS (RTP_AT + sizeof(struct rtp))

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, KERNEL_RELAY_PORTS);
    __type(key, uint32_t);
    __type(value, uint64_t);
} ports SEC(".maps"); /* by local port in network order: number of the stream and one */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* until it is known how many there shall be */
    __type(key, uint32_t);
    __type(value, struct kernel_flow);
} flows SEC(".maps");

/* Rings of copies, one a worker; made when it is known how many there are. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __array(values, struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, KERNEL_RELAY_RING);
    });
} copies SEC(".maps");

/* Is it all that an ordinary packet of the stream is, and how many numbers ahead of the last? */
static __always_inline int is_next(const struct kernel_flow *flow, const struct ip *ip, const struct udp *udp,
                                   const struct rtp *rtp, int64_t now, int32_t *ahead)
{
    uint16_t length = sizeof *udp + sizeof *rtp + flow->length;
    if (ip->length != bpf_htons(sizeof *ip + length) || udp->length != bpf_htons(length))
        return 0;
    if (rtp->first != 0x80 || rtp->type != flow->type || rtp->ssrc != bpf_htonl(flow->ssrc_in))
        return 0;
    *ahead = (int16_t)(uint16_t)(bpf_ntohs(rtp->sequence) - (uint16_t)flow->highest);
    if (*ahead < 1 || *ahead > (flow->packets ? KERNEL_RELAY_MOST_AHEAD : 1)
        || bpf_ntohl(rtp->timestamp) - flow->timestamp != (uint32_t)*ahead * flow->length
        || (uint32_t)*ahead * flow->length > KERNEL_RELAY_MOST_SAMPLES)
        return 0;
    return flow->due_at <= now && now - flow->heard_at < KERNEL_RELAY_BURST_NS;
}

/* RFC 3550 A.8, and the count against storms, as receiver_update() and endpoint_judge() keep them. */
static __always_inline void count(struct kernel_flow *flow, uint32_t timestamp, int32_t ahead, int64_t now)
{
    uint32_t transit = (uint32_t)((uint64_t)now / SAMPLE_NS) - timestamp, change = transit - flow->transit;
    uint32_t size = change >> 31 ? 0 - change : change;
    if (size <= KERNEL_RELAY_MAX_DELAY)
        flow->jitter_q4 += size - ((flow->jitter_q4 + 8) >> 4);
    if (flow->due_at < now - KERNEL_RELAY_BURST_NS)
        flow->due_at = now - KERNEL_RELAY_BURST_NS;
    flow->due_at += flow->packet_ns;
    flow->transit = transit;
    flow->timestamp = timestamp;
    flow->highest += (uint32_t)ahead;
    flow->heard_at = now;
    flow->packets++;
}

/* For a recording. False: the ring is full, or there is none. The worker looks at each tick, so nobody is woken. */
static __always_inline int copy(struct __sk_buff *skb, const struct kernel_flow *flow, uint32_t stream)
{
    uint32_t number = flow->copies - 1u;
    void *ring = bpf_map_lookup_elem(&copies, &number);
    struct kernel_copy *room = ring ? bpf_ringbuf_reserve(ring, sizeof *room, 0) : 0;
    if (!room)
        return 0;
    room->stream = stream;
    if (bpf_skb_load_bytes(skb, RTP_AT, room->rtp, sizeof room->rtp)) {
        bpf_ringbuf_discard(room, BPF_RB_NO_WAKEUP);
        return 0;
    }
    bpf_ringbuf_submit(room, BPF_RB_NO_WAKEUP);
    return 1;
}

/* RFC 1071; of a header as it came 0, or it is broken. */
static __always_inline uint16_t checksum(const struct ip *ip)
{
    uint32_t sum = 0;
    const word *words = (const word *)ip;
#pragma unroll
    for (int i = 0; i < (int)sizeof *ip / 2; i++)
        sum += words[i];
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum += sum >> 16;
    return (uint16_t)~sum;
}

/* As a socket's: nothing that the far end's system chose (its identification tells who it is) goes on to the other. */
static __always_inline void write_ip(struct ip *ip, const struct kernel_flow *flow)
{
    ip->source = flow->source;
    ip->destination = flow->to;
    ip->identification = 0;
    ip->fragment = bpf_htons(DONT_FRAGMENT);
    ip->time_to_live = TIME_TO_LIVE;
    ip->type_of_service = flow->type_of_service;
    ip->checksum = 0;
    ip->checksum = checksum(ip);
}

/* What the UDP checksum covers of them. */
struct covered {
    uint32_t addresses[2], ports;
    struct rtp rtp;
};

static __always_inline int rewrite(struct __sk_buff *skb, struct ip *ip, struct udp *udp, struct rtp *rtp,
                                   const struct kernel_flow *flow)
{
    struct covered before = {{ip->source, ip->destination}, *(pair *)udp, *rtp}, after;
    uint16_t checked = udp->checksum;
    write_ip(ip, flow);
    udp->source = flow->source_port;
    udp->destination = flow->to_port;
    rtp->sequence = bpf_htons((uint16_t)(bpf_ntohs(rtp->sequence) + flow->sequence_offset));
    rtp->timestamp = bpf_htonl(bpf_ntohl(rtp->timestamp) + flow->timestamp_offset);
    rtp->ssrc = bpf_htonl(flow->ssrc_out);
    if (!checked)
        return 0;
    after = (struct covered){{ip->source, ip->destination}, *(pair *)udp, *rtp};
    int64_t addresses = bpf_csum_diff(before.addresses, 8, after.addresses, 8, 0);
    int64_t rest = bpf_csum_diff(&before.ports, 16, &after.ports, 16, 0);
    return bpf_l4_csum_replace(skb, UDP_AT + 6, 0, (uint64_t)addresses, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0)
           | bpf_l4_csum_replace(skb, UDP_AT + 6, 0, (uint64_t)rest, BPF_F_MARK_MANGLED_0);
}

/* The worker sees all that was written before. What was there is asked for, though nobody wants it: clang makes of an
 * atomic operation without a result one that orders nothing, on ARM.
 */
static __always_inline void release(struct kernel_flow *flow, uint64_t bits)
{
    uint64_t before = __sync_fetch_and_and(&flow->state, ~bits);
    asm volatile("" : : "r"(before));
}

/* The worker has it from here on, this packet first. */
static __always_inline int stop(struct kernel_flow *flow, uint64_t held)
{
    release(flow, KERNEL_RELAY_ACTIVE | held);
    return NEXT;
}

static __always_inline int is_rtcp(const struct rtp *rtp)
{
    return rtp->type >= 192 && rtp->type <= 223; /* RFC 5761 4 */
}

SEC("tc")
int pass_on(struct __sk_buff *skb)
{
    if (skb->protocol != bpf_htons(IPV4) || skb->vlan_present || skb->pkt_type != TO_US)
        return NEXT;
    if (skb->data + HEADERS > skb->data_end)
        bpf_skb_pull_data(skb, HEADERS);
    uint8_t *data = (uint8_t *)(long)skb->data;
    if (data + HEADERS > (uint8_t *)(long)skb->data_end)
        return NEXT;
    struct ip *ip = (struct ip *)(data + IP_AT);
    struct udp *udp = (struct udp *)(data + UDP_AT);
    struct rtp *rtp = (struct rtp *)(data + RTP_AT);
    if (ip->version_length != 0x45 || ip->protocol != UDP || (ip->fragment & ~bpf_htons(DONT_FRAGMENT)))
        return NEXT;
    uint32_t port = udp->destination;
    const uint64_t *number = bpf_map_lookup_elem(&ports, &port);
    if (!number || !*number)
        return NEXT;
    uint32_t index = (uint32_t)*number - 1;
    struct kernel_flow *flow = bpf_map_lookup_elem(&flows, &index);
    if (!flow || ip->destination != flow->at || udp->destination != flow->at_port || ip->source != flow->from
        || udp->source != flow->from_port || skb->ifindex != flow->by || checksum(ip) || is_rtcp(rtp))
        return NEXT;
    if (__sync_val_compare_and_swap(&flow->state, KERNEL_RELAY_ACTIVE, KERNEL_RELAY_ACTIVE | KERNEL_RELAY_BUSY)
        != KERNEL_RELAY_ACTIVE)
        return stop(flow, 0);
    int64_t now = (int64_t)bpf_ktime_get_ns();
    int32_t ahead;
    uint32_t interface = flow->interface;
    if (skb->len != HEADERS + flow->length || !is_next(flow, ip, udp, rtp, now, &ahead))
        return stop(flow, KERNEL_RELAY_BUSY);
    if (flow->copies && !copy(skb, flow, index))
        return stop(flow, KERNEL_RELAY_BUSY);
    count(flow, bpf_ntohl(rtp->timestamp), ahead, now);
    int broken = rewrite(skb, ip, udp, rtp, flow);
    skb->priority = flow->priority;
    release(flow, KERNEL_RELAY_BUSY);
    if (broken)
        return DROP;
    return interface ? (int)bpf_redirect_neigh(interface, 0, 0, 0) : PASS;
}

char terms[] SEC("license") = "Apache-2.0";
